// A workgroup owns OWNED rows: those of all query heads that share a key head, so that every tile of keys serves the whole
// group. It passes over the keys once, TILE at a time, with a running softmax; tiles that the mask hides are left out.

fn operand(which: u32, place: Place, row: u32, d: u32) -> vec4<f32> {
    if (which == 0u) {
        return widen4(q[query_at(place, row) + d]) * params.scale;
    }
    let at = kv_at(place.b, row, place.kv_head) + d;
    if (which == 1u) {
        return widen4(k[at]);
    }
    return widen4(v[at]);
}

fn attend(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let x = lane % SIDE;
    let y = lane / SIDE;
    let group = GROUP;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * OWNED;
    let last_row = min(row0 + OWNED, rows) - 1u;
    let keys = keys_of(row0 / group, last_row / group, wg.z);
    let end = keys.y;
    var acc: array<array<vec4<f32>, COLUMNS>, OWN>;
    var acc_before: array<array<vec4<f32>, COLUMNS>, OWN>; // of earlier blocks
    var largest = Rows(LOWEST);
    var sums: Sums;
    var sums_before: Sums; // of earlier blocks
    var tiles = 0u;
    expect_no_strays(lane);
    for (var j0 = keys.x; j0 < end; j0 += TILE) {
        if (mask_hides(row0 / group, last_row / group, j0, min(j0 + TILE, end) - 1u)) {
            continue;
        }
        var score: array<vec4<f32>, OWN>;
        for (var d0 = 0u; d0 < params.head_vec; d0 += SLAB) {
            multiply_slabs(&score, Side(0u, row0, last_row), Side(1u, j0, end - 1u), place, d0, lane);
        }
        var largest_here = Rows(LOWEST);
        var hidden: array<vec4<bool>, OWN>;
        for (var r = 0u; r < OWN; r++) {
            let row = min(row0 + y + r * SIDE, last_row);
            let h = place.kv_head * group + row % group;
            for (var c = 0u; c < 4u; c++) {
                let j = j0 + x + c * SIDE;
                let bias = mask_bias(place.b, h, row / group, min(j, end - 1u));
                hidden[r][c] = bias <= MASKED || j >= end;
                score[r][c] += select(bias, 0.0, hidden[r][c]);
                largest_here[r] = max(largest_here[r], select(score[r][c], LOWEST, hidden[r][c]));
            }
        }
        let new_max = max(largest, row_max(largest_here, x, y));
        let fall = fall_of(largest, new_max);
        let shrink = exp(fall);
        largest = new_max;
        sums = fallen(sums, fall);
        if (LONG) {
            sums_before = fallen(sums_before, fall);
        }
        // From here on `score` holds probabilities up to the factor exp(largest).
        for (var r = 0u; r < OWN; r++) {
            for (var n = 0u; n < COLUMNS; n++) {
                acc[r][n] *= shrink[r];
                if (LONG) {
                    acc_before[r][n] *= shrink[r];
                }
            }
            var away = score[r] - new_max[r];
            let p = select(exp_of4(away), vec4<f32>(), hidden[r]);
            sums.total[r] += (p.x + p.y) + (p.z + p.w);
            if (ENTROPY) {
                let terms = p * select(max(away, vec4<f32>(-200.0)), vec4<f32>(), hidden[r]);
                sums.weighted[r] += (terms.x + terms.y) + (terms.z + terms.w);
            }
            score[r] = p;
        }
        for (var c = 0u; c < 4u; c++) {
            add_rows(&acc, &score, c, Side(2u, j0, end - 1u), place, lane);
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            add_block(&acc_before, &acc);
            sums_before = together(sums_before, sums);
            sums = Sums();
        }
    }
    if (LONG) {
        add_block(&acc, &acc_before);
    }
    sums = together(sums_before, sums);
    let total = row_sum(sums.total, x, y);
    var weighted = Rows();
    if (ENTROPY) {
        weighted = row_sum(sums.weighted, x, y);
    }
    let met = met_strays();
    for (var r = 0u; r < OWN; r++) {
        let row = row0 + y + r * SIDE;
        let h = place.kv_head * group + row % group;
        // One of the invocations that share the row stores its statistics; all need the factor.
        var inverse = select(1.0 / total[r], 0.0, total[r] == 0.0);
        if (row < rows && x == 0u) {
            inverse = store_row(row_at(out.b, h, row / group), largest[r], total[r], weighted[r]);
        }
        let q0 = query_at(out, row);
        for (var n = 0u; n < COLUMNS; n++) {
            let d = x + n * SIDE;
            let result = take_vector(&acc) * inverse;
            if (row < rows && d < HEAD_VEC) {
                let seen = seen_strays(place.b, h, row / group, place.kv_head, d, met);
                o[q0 + d] = narrow4(result + seen);
            }
        }
    }
}
