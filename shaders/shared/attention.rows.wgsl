// One invocation owns ROWS query rows of one head and passes over the keys once, a tile of WG_SIZE at a time, with a
// running softmax. A workgroup is exactly one subgroup: each invocation reads the vector of its own key and hands it to
// the others, so a tile is read once a workgroup and no load stands between the products.
fn attend(wg: vec3<u32>, lane: u32) {
    // Row r of an invocation lies WG_SIZE rows after its row r - 1.
    let first = wg.x * WG_SIZE * ROWS;
    let row0 = first + lane;
    let h = wg.y;
    let b = sequence_of(wg.z);
    let kv_head = h / (params.heads / params.kv_heads);
    var query: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var acc: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var largest: array<f32, ROWS>;
    var total: array<f32, ROWS>;
    var weighted: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        let q0 = q_at(b, min(row0 + r * WG_SIZE, params.seq_q - 1u), h);
        for (var d = 0u; d < HEAD_VEC; d++) {
            query[r][d] = widen4(q[q0 + d]) * params.scale;
        }
        largest[r] = LOWEST;
    }
    let last = min(first + WG_SIZE * ROWS, params.seq_q) - 1u;
    let keys = keys_of(mask_keys(first, last), wg.z);
    let end = keys.y;
    for (var j0 = keys.x; j0 < end; j0 += WG_SIZE) {
        if (mask_hides(first, last, j0, min(j0 + WG_SIZE, end) - 1u)) {
            continue;
        }
        let mine = kv_at(b, min(j0 + lane, end - 1u), kv_head);
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
            var new_max = largest[r];
            for (var t = 0u; t < WG_SIZE; t++) {
                let bias = mask_bias(b, h, i, min(j0 + t, end - 1u));
                score[r][t] = select(score[r][t] + bias, LOWEST, bias <= MASKED || j0 + t >= end);
                new_max = max(new_max, score[r][t]);
            }
            let shrink = exp(largest[r] - new_max);
            largest[r] = new_max;
            total[r] *= shrink;
            weighted[r] *= shrink;
            for (var d = 0u; d < HEAD_VEC; d++) {
                acc[r][d] *= shrink;
            }
            // A tile is summed by itself: many equal terms, such as padding's, added one by one to a large sum lose the
            // same digit each time.
            var tile_total = 0.0;
            for (var t = 0u; t < WG_SIZE; t++) {
                let s = score[r][t];
                let p = select(exp(s - new_max), 0.0, s <= MASKED);
                tile_total += p;
                if (ENTROPY) {
                    weighted[r] += select(p * s, 0.0, s <= MASKED);
                }
                score[r][t] = p;
            }
            total[r] += tile_total;
        }
        for (var d = 0u; d < HEAD_VEC; d++) {
            let part = widen4(v[mine + d]);
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
    }
    for (var r = 0u; r < ROWS; r++) {
        let row = row0 + r * WG_SIZE;
        if (row < params.seq_q) {
            // A row that sees no key gives 0 and the lowest lse.
            let seen = total[r] > 0.0;
            let inverse = select(0.0, 1.0 / total[r], seen);
            let q0 = q_at(wg.z, row, h);
            for (var d = 0u; d < HEAD_VEC; d++) {
                o[q0 + d] = narrow4(acc[r][d] * inverse);
            }
            let lse = select(LOWEST, largest[r] + log(total[r]), seen);
            let at = row_at(wg.z, h, row);
            stats[at] = lse;
            if (ENTROPY) {
                let entropy = select(0.0, lse - weighted[r] * inverse, seen);
                stats[second_plane() + at] = entropy;
            }
        }
    }
}
