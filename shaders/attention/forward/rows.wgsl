// One invocation owns ROWS query rows of one head and passes over the keys once, a tile of WG_SIZE at a time, with a
// running softmax. A workgroup is exactly one subgroup: each invocation reads the vector of its own key and hands it to
// the others, so a tile is read once a workgroup and no load stands between the products.
//
// Sums are taken of a tile, of BLOCK tiles, and where there are many keys, LONG, of blocks: many equal terms, such as
// padding's, added one by one to a large sum lose the same digit each time.
const BLOCK_TILES: u32 = 128u;

fn attend(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    // Row r of an invocation lies WG_SIZE rows after its row r - 1.
    let first = wg.x * WG_SIZE * ROWS;
    let row0 = first + lane;
    let h = wg.y;
    let b = sequence_of(wg.z);
    let kv_head = h / (params.heads / params.kv_heads);
    var query: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var acc: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var acc_before: array<array<vec4<f32>, HEAD_VEC>, ROWS>; // of earlier blocks
    var largest: array<f32, ROWS>;
    var total: array<f32, ROWS>;
    var total_before: array<f32, ROWS>;
    var weighted: array<f32, ROWS>; // Σ p · (score - largest)
    var weighted_before: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        let q0 = q_at(b, min(row0 + r * WG_SIZE, params.seq_q - 1u), h);
        for (var d = 0u; d < HEAD_VEC; d++) {
            query[r][d] = widen4(q[q0 + d]) * params.scale;
        }
        largest[r] = LOWEST;
    }
    let last = min(first + WG_SIZE * ROWS, params.seq_q) - 1u;
    let keys = keys_of(first, last, wg.z);
    let end = keys.y;
    var stray_keys = NO_STRAYS;
    var tiles = 0u;
    for (var j0 = keys.x; j0 < end; j0 += WG_SIZE) {
        if (mask_hides(first, last, j0, min(j0 + WG_SIZE, end) - 1u)) {
            continue;
        }
        let own = min(j0 + lane, end - 1u);
        let mine = kv_at(b, own, kv_head);
        var score: array<array<f32, WG_SIZE>, ROWS>;
        for (var d = 0u; d < HEAD_VEC; d++) {
            let part = widen4(k[mine + d]);
            for (var t = 0u; t < WG_SIZE; t++) {
                let key = subgroupShuffle(part, t);
                for (var r = 0u; r < ROWS; r++) {
                    score[r][t] += dot(query[r][d], key);
                }
            }
        }
        // From here on `score` holds probabilities up to the factor exp(largest).
        for (var r = 0u; r < ROWS; r++) {
            let i = min(row0 + r * WG_SIZE, params.seq_q - 1u);
            var hidden = 0u; // a bit for each key of the tile
            var new_max = largest[r];
            for (var t = 0u; t < WG_SIZE; t++) {
                let bias = mask_bias(b, h, i, min(j0 + t, end - 1u));
                let absent = bias <= MASKED || j0 + t >= end;
                hidden |= select(0u, 1u << t, absent);
                score[r][t] += select(bias, 0.0, absent);
                new_max = max(new_max, select(score[r][t], LOWEST, absent));
            }
            // At most 200 nats: further apart one of both counts for nothing, and 0 times infinity would be NaN.
            let fall = max(largest[r] - new_max, -200.0);
            let shrink = exp(fall);
            largest[r] = new_max;
            if (ENTROPY) {
                weighted[r] = shrink * (weighted[r] + fall * total[r]);
            }
            total[r] *= shrink;
            for (var d = 0u; d < HEAD_VEC; d++) {
                acc[r][d] *= shrink;
            }
            if (LONG) {
                if (ENTROPY) {
                    weighted_before[r] = shrink * (weighted_before[r] + fall * total_before[r]);
                }
                total_before[r] *= shrink;
                for (var d = 0u; d < HEAD_VEC; d++) {
                    acc_before[r][d] *= shrink;
                }
            }
            var tile_total = 0.0;
            var tile_weighted = 0.0;
            for (var t = 0u; t < WG_SIZE; t++) {
                let away = score[r][t] - new_max;
                let absent = (hidden & (1u << t)) != 0u;
                let p = select(exp_of(away), 0.0, absent);
                tile_total += p;
                if (ENTROPY) {
                    tile_weighted += p * select(max(away, -200.0), 0.0, absent);
                }
                score[r][t] = p;
            }
            total[r] += tile_total;
            weighted[r] += tile_weighted;
        }
        var met = false;
        for (var d = 0u; d < HEAD_VEC; d++) {
            let value4 = widen4(v[mine + d]);
            let part = without_strays(value4);
            met = met || any(strays(value4));
            var tile: array<vec4<f32>, ROWS>;
            for (var t = 0u; t < WG_SIZE; t++) {
                let value = subgroupShuffle(part, t);
                for (var r = 0u; r < ROWS; r++) {
                    tile[r] += score[r][t] * value;
                }
            }
            for (var r = 0u; r < ROWS; r++) {
                acc[r][d] += tile[r];
            }
        }
        if (met) {
            stray_keys = vec2<u32>(min(stray_keys.x, own), max(stray_keys.y, own + 1u));
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            for (var r = 0u; r < ROWS; r++) {
                total_before[r] += total[r];
                total[r] = 0.0;
                weighted_before[r] += weighted[r];
                weighted[r] = 0.0;
                for (var d = 0u; d < HEAD_VEC; d++) {
                    acc_before[r][d] += acc[r][d];
                    acc[r][d] = vec4<f32>();
                }
            }
        }
    }
    let met_keys = vec2<u32>(subgroupMin(stray_keys.x), subgroupMax(stray_keys.y));
    for (var r = 0u; r < ROWS; r++) {
        let row = row0 + r * WG_SIZE;
        if (row < params.seq_q) {
            let q0 = q_at(wg.z, row, h);
            let sum = total_before[r] + total[r];
            let inverse = store_row(row_at(wg.z, h, row), largest[r], sum, weighted_before[r] + weighted[r]);
            for (var d = 0u; d < HEAD_VEC; d++) {
                var result = acc[r][d];
                if (LONG) {
                    result += acc_before[r][d];
                }
                o[q0 + d] = narrow4(result * inverse + seen_strays(b, h, row, kv_head, d, met_keys));
            }
        }
    }
}
