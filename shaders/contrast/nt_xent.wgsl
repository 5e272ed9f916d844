// loss[b, a, p] = -log(e^{s_p} / (e^{s_p} + Σ_n negatives[a, n] e^{s_n})), s = similarity[b, a, :] / temperature, where
// positives[a, p] is above 0, times that weight; 0 elsewhere.
//
// One invocation computes one pair. A pair whose anchor has no negative costs nothing.
@group(0) @binding(3) var<storage, read_write> loss: array<f32>; // (batch, rows, rows)

@compute @workgroup_size(WG_SIZE)
fn nt_xent(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let at = number_of(workgroup) * WG_SIZE + lane;
    let plane = params.rows * params.rows;
    if (at < params.batch * plane) {
        let weight = positives[at % plane];
        var value = 0.0;
        if (counts(weight)) {
            let first = at / params.rows * params.rows;
            let anchor = at % plane / params.rows * params.rows;
            let own = similarity[at];
            // Relative to the largest term, so that none overflows.
            var largest = own;
            for (var n = 0u; n < params.rows; n++) {
                if (counts(negatives[anchor + n])) {
                    largest = max(largest, similarity[first + n]);
                }
            }
            var sum: Cascade;
            for (var n = 0u; n < params.rows; n++) {
                if (counts(negatives[anchor + n])) {
                    let near = exp_of((similarity[first + n] - largest) * params.sharpness);
                    sum = with_term(sum, negatives[anchor + n] * near);
                }
            }
            let others = sum_of(sum);
            let near = exp_of((own - largest) * params.sharpness);
            value = weight * (log_of(near + others) - (own - largest) * params.sharpness);
        }
        loss[at] = value;
    }
}
