// One invocation owns ROWS keys of one key head and passes over the queries that may see them, a tile of WG_SIZE at a time,
// which the invocations hand round; wide heads, ROLLED, as in the gradient by the queries.
fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let vectors = select(HEAD_VEC, params.head_vec, ROLLED);
    let first = wg.x * WG_SIZE * ROWS;
    let column0 = first + lane;
    let kv_head = wg.y;
    let b = wg.z;
    let end = key_end(b);
    var key: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var value: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var dk: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var dv: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var dk_before: array<array<vec4<f32>, HEAD_VEC>, ROWS>; // of earlier blocks
    var dv_before: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var tiles = 0u;
    for (var r = 0u; r < ROWS; r++) {
        let k0 = kv_at(b, min(column0 + r * WG_SIZE, params.seq_kv - 1u), kv_head);
        for (var d = 0u; d < vectors; d++) {
            key[r][d] = widen4(k[k0 + d]) * params.scale;
            value[r][d] = widen4(v[k0 + d]);
        }
    }
    let last = min(first + WG_SIZE * ROWS, params.seq_kv) - 1u;
    let rows = mask_rows(b, first, last);
    let group_size = GROUP;
    var stray_rows = NO_STRAYS;
    for (var h = kv_head * group_size; h < (kv_head + 1u) * group_size; h++) {
        for (var i0 = rows.x; i0 < rows.y; i0 += WG_SIZE) {
            if (mask_hides(i0, min(i0 + WG_SIZE, rows.y) - 1u, first, last)) {
                continue;
            }
            let own = min(i0 + lane, rows.y - 1u);
            let mine = q_at(b, own, h);
            // Vectors of the invocation's own query of the tile.
            var q_tile: array<vec4<f32>, HEAD_VEC>;
            var d_o_tile: array<vec4<f32>, HEAD_VEC>;
            var p: array<array<f32, WG_SIZE>, ROWS>; // scores first
            var ds: array<array<f32, WG_SIZE>, ROWS>; // gradients upon p first
            for (var d = 0u; d < vectors; d++) {
                let q_d = widen4(q[mine + d]);
                if (!ROLLED) {
                    q_tile[d] = q_d;
                }
                multiply_round(&p, &key, d, q_d);
            }
            // A loop for each product: in one, both took a fourth longer on a CPU.
            if (UPSTREAM) {
                for (var d = 0u; d < vectors; d++) {
                    let d_o_d = widen4(d_o[mine + d]);
                    if (!ROLLED) {
                        d_o_tile[d] = d_o_d;
                    }
                    multiply_round(&ds, &value, d, d_o_d);
                }
            }
            for (var t = 0u; t < WG_SIZE; t++) {
                let i = min(i0 + t, rows.y - 1u);
                let at = row_at(b, h, i);
                let row_stats = stats_of(at);
                let delta = delta_of(at);
                for (var r = 0u; r < ROWS; r++) {
                    let j = min(column0 + r * WG_SIZE, params.seq_kv - 1u);
                    let present = j < end && i0 + t < rows.y;
                    let entry = entry_of(b, h, i, j, p[r][t], ds[r][t], row_stats, delta, present);
                    p[r][t] = entry.p;
                    ds[r][t] = entry.ds;
                }
            }
            var met = false;
            for (var d = 0u; d < vectors; d++) {
                var q_d: vec4<f32>;
                if (ROLLED) {
                    q_d = widen4(q[mine + d]);
                } else {
                    q_d = q_tile[d];
                }
                met = met || any(strays(q_d));
                add_round(&dk, &ds, d, without_strays(q_d));
            }
            if (UPSTREAM) {
                for (var d = 0u; d < vectors; d++) {
                    var d_o_d: vec4<f32>;
                    if (ROLLED) {
                        d_o_d = widen4(d_o[mine + d]);
                    } else {
                        d_o_d = d_o_tile[d];
                    }
                    met = met || any(strays(d_o_d));
                    add_round(&dv, &p, d, without_strays(d_o_d));
                }
            }
            if (met) {
                stray_rows = with_stray(stray_rows, own);
            }
            tiles++;
            if (LONG && tiles % BLOCK_TILES == 0u) {
                add_block(&dk_before, &dk, vectors);
                add_block(&dv_before, &dv, vectors);
            }
        }
    }
    if (LONG) {
        add_block(&dk, &dk_before, vectors);
        add_block(&dv, &dv_before, vectors);
    }
    let met_rows = vec2<u32>(subgroupMin(stray_rows.x), subgroupMax(stray_rows.y));
    for (var r = 0u; r < ROWS; r++) {
        let column = column0 + r * WG_SIZE;
        if (column < params.seq_kv) {
            let place = Place(b, kv_head, group_size);
            for (var d = 0u; d < vectors; d++) {
                store_gradients(place, column, d, dk[r][d], dv[r][d], met_rows);
            }
        }
    }
}
