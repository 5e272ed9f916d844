// delta = Σ_j p · dp = Σ_d do · o + Σ_j p · map_grad, with the statistics of the row copied beside it for the two kernels
// after.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(3) var<storage, read> d_o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(4) var<storage, read> forward_stats: array<f32>; // (2 or 3, batch, heads, seq_q): largest, log total, entropy
@group(0) @binding(5) var<storage, read> tables: array<f32>;
@group(0) @binding(6) var<storage, read> map_grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> stats: array<f32>; // (3, batch, heads, seq_q): largest, log total, delta

alias Term = f32;

fn wanted(j: u32) -> bool {
    // A mass gradient reaches every key, a column gradient only the keys of a group.
    var found = MASS_MEAN || MASS_MAX;
    if (GROUPS > 0u) {
        for (var g = 0u; g < GROUPS; g++) {
            found = found || tables[params.columns_at + g * params.seq_kv + j] != 0.0;
        }
    }
    return found;
}

@compute @workgroup_size(WG_SIZE)
fn attention_backward_delta(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let wg = of_whole(workgroup);
    let row = wg.x * WG_SIZE + lane;
    let i = min(row, params.seq_q - 1u);
    let h = wg.y;
    let b = wg.z;
    let at = row_at(b, h, i);
    let q0 = q_at(b, i, h);
    let plane = plane_of(1u);
    let row_stats = RowStats(forward_stats[at], forward_stats[plane + at]);
    var delta: Cascade;
    if (UPSTREAM) {
        for (var d = 0u; d < params.head_vec; d++) {
            delta = with_term(delta, dot(widen4(o[q0 + d]), widen4(d_o[q0 + d])));
        }
    }
    if (ENTROPY) {
        let entropy = forward_stats[2u * plane + at];
        delta = with_term(delta, map_grads[params.grad_entropy_at + at] * entropy);
    }
    if (GROUPS > 0u || MASS_MEAN || MASS_MAX) {
        let end = key_end(b);
        for (var j = 0u; j < end; j++) {
            if (wanted(j)) {
                let bias = mask_bias(b, h, i, j);
                let log_p = log_probability(score_of(b, h, i, j) + bias, row_stats);
                // The entropy's share is already in closed form above, so it is taken out of map_grad here.
                var g = map_grad(b, h, i, j, log_p);
                if (ENTROPY) {
                    g += map_grads[params.grad_entropy_at + at] * log_p;
                }
                delta = with_term(delta, select(0.0, exp_of(log_p) * g, bias > MASKED));
            }
        }
    }
    if (row < params.seq_q) {
        stats[at] = row_stats.largest;
        stats[plane + at] = row_stats.log_total;
        // Of a row that sees nothing it must not matter what it or the gradient of its output holds.
        stats[2u * plane + at] = select(sum_of(delta), 0.0, is_empty(row_stats));
    }
}
