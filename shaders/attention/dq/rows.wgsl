// One invocation owns ROWS query rows of one head and takes the keys a tile at a time, which the invocations hand round.
//
// Of wide heads, ROLLED, the code of a tile passes a CPU's instruction cache where a driver unrolls it: a parameter bounds
// the loops over the head there, and vectors are read twice, since an array in registers has no index but a constant.
fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let vectors = select(HEAD_VEC, params.head_vec, ROLLED);
    let first = wg.x * WG_SIZE * ROWS;
    let row0 = first + lane;
    let h = wg.y;
    let b = wg.z;
    let kv_head = h / GROUP;
    var query: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var upstream: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var acc: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var acc_before: array<array<vec4<f32>, HEAD_VEC>, ROWS>; // of earlier blocks
    var row_stats: array<RowStats, ROWS>;
    var delta: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        let i = min(row0 + r * WG_SIZE, params.seq_q - 1u);
        let q0 = q_at(b, i, h);
        let at = row_at(b, h, i);
        row_stats[r] = stats_of(at);
        delta[r] = delta_of(at);
        for (var d = 0u; d < vectors; d++) {
            query[r][d] = widen4(q[q0 + d]) * params.scale;
            if (UPSTREAM) {
                upstream[r][d] = widen4(d_o[q0 + d]);
            }
        }
    }
    let last = min(first + WG_SIZE * ROWS, params.seq_q) - 1u;
    let keys = mask_keys(b, first, last);
    let end = min(keys.y, key_end(b));
    var stray_keys = NO_STRAYS;
    var tiles = 0u;
    for (var j0 = keys.x; j0 < end; j0 += WG_SIZE) {
        if (mask_hides(first, last, j0, min(j0 + WG_SIZE, end) - 1u)) {
            continue;
        }
        let own = min(j0 + lane, end - 1u);
        let mine = kv_at(b, own, kv_head);
        var k_tile: array<vec4<f32>, HEAD_VEC>; // of the invocation's own key of the tile
        var ds: array<array<f32, WG_SIZE>, ROWS>; // scores first
        var dp: array<array<f32, WG_SIZE>, ROWS>;
        for (var d = 0u; d < vectors; d++) {
            let k_d = widen4(k[mine + d]);
            if (!ROLLED) {
                k_tile[d] = k_d;
            }
            multiply_round(&ds, &query, d, k_d);
            if (UPSTREAM) {
                multiply_round(&dp, &upstream, d, widen4(v[mine + d]));
            }
        }
        for (var r = 0u; r < ROWS; r++) {
            let i = min(row0 + r * WG_SIZE, params.seq_q - 1u);
            for (var t = 0u; t < WG_SIZE; t++) {
                let j = min(j0 + t, end - 1u);
                ds[r][t] = entry_of(b, h, i, j, ds[r][t], dp[r][t], row_stats[r], delta[r], j0 + t < end).ds;
            }
        }
        var met = false;
        for (var d = 0u; d < vectors; d++) {
            var k_d: vec4<f32>;
            if (ROLLED) {
                k_d = widen4(k[mine + d]);
            } else {
                k_d = k_tile[d];
            }
            met = met || any(strays(k_d));
            add_round(&acc, &ds, d, without_strays(k_d));
        }
        if (met) {
            stray_keys = with_stray(stray_keys, own);
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            add_block(&acc_before, &acc, vectors);
        }
    }
    if (LONG) {
        add_block(&acc, &acc_before, vectors);
    }
    let met_keys = vec2<u32>(subgroupMin(stray_keys.x), subgroupMax(stray_keys.y));
    for (var r = 0u; r < ROWS; r++) {
        let row = row0 + r * WG_SIZE;
        if (row < params.seq_q) {
            let q0 = q_at(b, row, h);
            for (var d = 0u; d < vectors; d++) {
                dq[q0 + d] = narrow4(acc[r][d] + seen_strays(b, h, row, kv_head, d, met_keys));
            }
        }
    }
}
