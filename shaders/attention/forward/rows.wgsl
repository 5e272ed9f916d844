// One invocation owns ROWS query rows of one head and passes over the keys once, a tile of WG_SIZE at a time, which the
// invocations hand round, with a running softmax.
alias Rows = f32;

fn attend(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    // Row r of an invocation lies WG_SIZE rows after its row r - 1.
    let first = wg.x * WG_SIZE * ROWS;
    let row0 = first + lane;
    let h = wg.y;
    let b = sequence_of(wg.z);
    let kv_head = h / GROUP;
    var query: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var acc: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
    var acc_before: array<array<vec4<f32>, HEAD_VEC>, ROWS>; // of earlier blocks
    var largest: array<f32, ROWS>;
    var sums: array<Sums, ROWS>;
    var sums_before: array<Sums, ROWS>; // of earlier blocks
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
            multiply_round(&score, &query, d, widen4(k[mine + d]));
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
            let fall = fall_of(largest[r], new_max);
            let shrink = exp(fall);
            largest[r] = new_max;
            sums[r] = fallen(sums[r], fall);
            for (var d = 0u; d < HEAD_VEC; d++) {
                acc[r][d] *= shrink;
            }
            if (LONG) {
                sums_before[r] = fallen(sums_before[r], fall);
                for (var d = 0u; d < HEAD_VEC; d++) {
                    acc_before[r][d] *= shrink;
                }
            }
            var of_tile: Sums;
            for (var t = 0u; t < WG_SIZE; t++) {
                let away = score[r][t] - new_max;
                let absent = (hidden & (1u << t)) != 0u;
                let p = select(exp_of(away), 0.0, absent);
                of_tile.total += p;
                if (ENTROPY) {
                    of_tile.weighted += p * select(max(away, -200.0), 0.0, absent);
                }
                score[r][t] = p;
            }
            sums[r] = together(sums[r], of_tile);
        }
        var met = false;
        for (var d = 0u; d < HEAD_VEC; d++) {
            let value = widen4(v[mine + d]);
            met = met || any(strays(value));
            add_round(&acc, &score, d, without_strays(value));
        }
        if (met) {
            stray_keys = with_stray(stray_keys, own);
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            for (var r = 0u; r < ROWS; r++) {
                sums_before[r] = together(sums_before[r], sums[r]);
                sums[r] = Sums();
            }
            add_block(&acc_before, &acc, HEAD_VEC);
        }
    }
    if (LONG) {
        add_block(&acc, &acc_before, HEAD_VEC);
    }
    let met_keys = vec2<u32>(subgroupMin(stray_keys.x), subgroupMax(stray_keys.y));
    for (var r = 0u; r < ROWS; r++) {
        let row = row0 + r * WG_SIZE;
        if (row < params.seq_q) {
            let q0 = q_at(wg.z, row, h);
            let whole = together(sums_before[r], sums[r]);
            let inverse = store_row(row_at(wg.z, h, row), largest[r], whole.total, whole.weighted);
            for (var d = 0u; d < HEAD_VEC; d++) {
                o[q0 + d] = narrow4(acc[r][d] * inverse + seen_strays(b, h, row, kv_head, d, met_keys));
            }
        }
    }
}
