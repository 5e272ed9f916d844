// One invocation owns ROWS query rows of one head and takes the keys a tile at a time and hands
// them round, as in the forward.
//
// Of wide heads, ROLLED, the code of a tile passes a CPU's instruction cache where a driver unrolls it: a parameter bounds
// the loops over the head there, and vectors are read twice, since an array in registers has no index but a constant.
fn attend_backward(wg: vec3<u32>, lane: u32) {
    let vectors = select(HEAD_VEC, params.head_vec, ROLLED);
    let first = wg.x * WG_SIZE * ROWS;
    let row0 = first + lane;
    let h = wg.y;
    let b = wg.z;
    let kv_head = h / (params.heads / params.kv_heads);
    var query: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var upstream: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var acc: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var lse: array<f32, ROWS>;
    var delta: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        let i = min(row0 + r * WG_SIZE, params.seq_q - 1u);
        let q0 = q_at(b, i, h);
        let at = row_at(b, h, i);
        lse[r] = stats[at];
        delta[r] = stats[params.batch * params.heads * params.seq_q + at];
        for (var d = 0u; d < vectors; d++) {
            query[r][d] = widen4(q[q0 + d]) * params.scale;
            if (UPSTREAM) {
                upstream[r][d] = widen4(d_o[q0 + d]);
            }
        }
    }
    let last = min(first + WG_SIZE * ROWS, params.seq_q) - 1u;
    let keys = mask_keys(first, last);
    let end = min(keys.y, key_end(b));
    for (var j0 = keys.x; j0 < end; j0 += WG_SIZE) {
        if (mask_hides(first, last, j0, min(j0 + WG_SIZE, end) - 1u)) {
            continue;
        }
        let mine = kv_at(b, min(j0 + lane, end - 1u), kv_head);
        var k_tile: array<vec4<f32>, HEAD_VEC>; // of the invocation's own key of the tile
        var ds: array<array<f32, WG_SIZE>, ROWS>; // scores first
        var dp: array<array<f32, WG_SIZE>, ROWS>;
        for (var d = 0u; d < vectors; d++) {
            let k_d = widen4(k[mine + d]);
            if (!ROLLED) {
                k_tile[d] = k_d;
            }
            for (var t = 0u; t < WG_SIZE; t++) {
                let key = subgroupShuffle(k_d, t);
                for (var r = 0u; r < ROWS; r++) {
                    ds[r][t] += dot(query[r][d], key);
                }
            }
            if (UPSTREAM) {
                let v_d = widen4(v[mine + d]);
                for (var t = 0u; t < WG_SIZE; t++) {
                    let value = subgroupShuffle(v_d, t);
                    for (var r = 0u; r < ROWS; r++) {
                        dp[r][t] += dot(upstream[r][d], value);
                    }
                }
            }
        }
        for (var r = 0u; r < ROWS; r++) {
            let i = min(row0 + r * WG_SIZE, params.seq_q - 1u);
            for (var t = 0u; t < WG_SIZE; t++) {
                let j = min(j0 + t, end - 1u);
                let bias = mask_bias(b, h, i, j);
                let log_p = ds[r][t] + bias - lse[r];
                let upon_p = dp[r][t] + map_grad(b, h, i, j, log_p) - delta[r];
                let seen = bias > MASKED && lse[r] > MASKED && j0 + t < end;
                ds[r][t] = select(0.0, exp(log_p) * upon_p, seen) * params.scale;
            }
        }
        for (var d = 0u; d < vectors; d++) {
            var k_d: vec4<f32>;
            if (ROLLED) {
                k_d = widen4(k[mine + d]);
            } else {
                k_d = k_tile[d];
            }
            var sum: array<vec4<f32>, ROWS>;
            for (var t = 0u; t < WG_SIZE; t++) {
                let key = subgroupShuffle(k_d, t);
                for (var r = 0u; r < ROWS; r++) {
                    sum[r] += ds[r][t] * key;
                }
            }
            for (var r = 0u; r < ROWS; r++) {
                acc[r][d] += sum[r];
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        let row = row0 + r * WG_SIZE;
        if (row < params.seq_q) {
            let q0 = q_at(b, row, h);
            for (var d = 0u; d < vectors; d++) {
                dq[q0 + d] = narrow4(acc[r][d]);
            }
        }
    }
}
