// The gradient of nt_xent's weighted losses, summed over a clip's pairs, by the similarities:
// d[b, a, c] = dy[b] / temperature · (negatives[a, c] e^{s_c} Σ_p w_p / Z_p  -  w_c (1 - e^{s_c} / Z_c)),
// Z_p = e^{s_p} + Σ_n negatives[a, n] e^{s_n}, w = positives[a, :].
//
// One invocation writes the gradients of one anchor.
@group(0) @binding(3) var<storage, read> dy: array<f32>; // (batch)
@group(0) @binding(4) var<storage, read_write> d_similarity: array<f32>; // (batch, rows, rows)

@compute @workgroup_size(WG_SIZE)
fn nt_xent_backward(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let at = number_of(workgroup) * WG_SIZE + lane;
    if (at < params.batch * params.rows) {
        let first = at * params.rows;
        let anchor = at % params.rows * params.rows;
        // Relative to the largest term of the anchor's, so that none overflows. A term that is NaN or infinite leaves none of
        // the others a number.
        var largest = LOWEST;
        for (var c = 0u; c < params.rows; c++) {
            let own = similarity[first + c];
            if (counts(negatives[anchor + c]) || counts(positives[anchor + c])) {
                largest = select(max(largest, own), own, is_nan(own));
                if (is_nan(largest)) {
                    break;
                }
            }
        }
        // NaN for +∞ too.
        largest += largest - largest;
        var sum: Cascade;
        for (var c = 0u; c < params.rows; c++) {
            if (counts(negatives[anchor + c])) {
                sum = with_term(sum, negatives[anchor + c] * exp_of((similarity[first + c] - largest) * params.sharpness));
            }
        }
        let others = sum_of(sum);
        let scale = dy[at / params.rows] * params.sharpness;
        // Σ_p w_p / Z_p; without negatives nobody reads it, and a positive far below would make it infinite.
        var shares: Cascade;
        for (var c = 0u; c < params.rows; c++) {
            if (counts(positives[anchor + c]) && counts(others)) {
                let near = exp_of((similarity[first + c] - largest) * params.sharpness);
                shares = with_term(shares, positives[anchor + c] / (near + others));
            }
        }
        let share = sum_of(shares);
        for (var c = 0u; c < params.rows; c++) {
            var d = 0.0;
            if (counts(others)) {
                let near = exp_of((similarity[first + c] - largest) * params.sharpness);
                if (counts(negatives[anchor + c])) {
                    d = negatives[anchor + c] * near * share;
                }
                if (counts(positives[anchor + c])) {
                    d -= positives[anchor + c] * others / (near + others);
                }
            }
            d_similarity[first + c] = scale * d;
        }
    }
}
