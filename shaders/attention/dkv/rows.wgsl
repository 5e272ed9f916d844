// One invocation owns ROWS keys of one key head and passes over the queries that may see them, a tile of
// WG_SIZE at a time, which the invocations read between them and hand round, as in the forward; wide heads, ROLLED, as in
// the gradient by the queries.
//
// Sums are taken of a tile, of BLOCK_TILES tiles, and where there are many rows, LONG, of those, as in the forward.
const BLOCK_TILES: u32 = 128u;

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
    let group_size = params.heads / params.kv_heads;
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
                for (var t = 0u; t < WG_SIZE; t++) {
                    let query = subgroupShuffle(q_d, t);
                    for (var r = 0u; r < ROWS; r++) {
                        p[r][t] += dot(query, key[r][d]);
                    }
                }
            }
            // A loop for each product: in one, both took a fourth longer on a CPU.
            if (UPSTREAM) {
                for (var d = 0u; d < vectors; d++) {
                    let d_o_d = widen4(d_o[mine + d]);
                    if (!ROLLED) {
                        d_o_tile[d] = d_o_d;
                    }
                    for (var t = 0u; t < WG_SIZE; t++) {
                        let upstream = subgroupShuffle(d_o_d, t);
                        for (var r = 0u; r < ROWS; r++) {
                            ds[r][t] += dot(upstream, value[r][d]);
                        }
                    }
                }
            }
            for (var t = 0u; t < WG_SIZE; t++) {
                let i = min(i0 + t, rows.y - 1u);
                let at = row_at(b, h, i);
                let row_stats = stats_of(at);
                let delta = delta_of(at);
                for (var r = 0u; r < ROWS; r++) {
                    let j = min(column0 + r * WG_SIZE, params.seq_kv - 1u);
                    let bias = mask_bias(b, h, i, j);
                    let log_p = log_probability(p[r][t] + bias, row_stats);
                    let upon_p = ds[r][t] + map_grad(b, h, i, j, log_p) - delta;
                    let seen = j < end && i0 + t < rows.y && bias > MASKED && !is_empty(row_stats);
                    p[r][t] = select(0.0, exp_of(log_p), seen);
                    ds[r][t] = select(0.0, p[r][t] * upon_p, seen) * params.scale;
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
                q_d = without_strays(q_d);
                var dk_sum: array<vec4<f32>, ROWS>;
                for (var t = 0u; t < WG_SIZE; t++) {
                    let query = subgroupShuffle(q_d, t);
                    for (var r = 0u; r < ROWS; r++) {
                        dk_sum[r] += ds[r][t] * query;
                    }
                }
                for (var r = 0u; r < ROWS; r++) {
                    dk[r][d] += dk_sum[r];
                }
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
                    d_o_d = without_strays(d_o_d);
                    var dv_sum: array<vec4<f32>, ROWS>;
                    for (var t = 0u; t < WG_SIZE; t++) {
                        let upstream = subgroupShuffle(d_o_d, t);
                        for (var r = 0u; r < ROWS; r++) {
                            dv_sum[r] += p[r][t] * upstream;
                        }
                    }
                    for (var r = 0u; r < ROWS; r++) {
                        dv[r][d] += dv_sum[r];
                    }
                }
            }
            if (met) {
                stray_rows = vec2<u32>(min(stray_rows.x, own), max(stray_rows.y, own + 1u));
            }
            tiles++;
            if (LONG && tiles % BLOCK_TILES == 0u) {
                for (var r = 0u; r < ROWS; r++) {
                    for (var d = 0u; d < vectors; d++) {
                        dk_before[r][d] += dk[r][d];
                        dk[r][d] = vec4<f32>();
                        dv_before[r][d] += dv[r][d];
                        dv[r][d] = vec4<f32>();
                    }
                }
            }
        }
    }
    let met_rows = vec2<u32>(subgroupMin(stray_rows.x), subgroupMax(stray_rows.y));
    for (var r = 0u; r < ROWS; r++) {
        let column = column0 + r * WG_SIZE;
        if (column < params.seq_kv) {
            let place = Place(b, kv_head, group_size);
            for (var d = 0u; d < vectors; d++) {
                var by_key = dk[r][d];
                var by_value = dv[r][d];
                if (LONG) {
                    by_key += dk_before[r][d];
                    by_value += dv_before[r][d];
                }
                store_gradients(place, column, d, by_key, by_value, met_rows);
            }
        }
    }
}
