// A workgroup owns TILE rows: those of all query heads that share a key head, so that every tile of keys serves the whole
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
    let group = params.heads / params.kv_heads;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * TILE;
    let last_row = min(row0 + TILE, rows) - 1u;
    let keys = keys_of(row0 / group, last_row / group, wg.z);
    let end = keys.y;
    var acc: array<array<vec4<f32>, COLUMNS>, 4>;
    var acc_before: array<array<vec4<f32>, COLUMNS>, 4>; // of earlier blocks
    var largest = vec4<f32>(LOWEST);
    var total = vec4<f32>();
    var total_before = vec4<f32>();
    var weighted = vec4<f32>(); // Σ p · (score - largest)
    var weighted_before = vec4<f32>();
    var tiles = 0u;
    expect_no_strays(lane);
    for (var j0 = keys.x; j0 < end; j0 += TILE) {
        if (mask_hides(row0 / group, last_row / group, j0, min(j0 + TILE, end) - 1u)) {
            continue;
        }
        var score: array<vec4<f32>, 4>;
        for (var d0 = 0u; d0 < params.head_vec; d0 += PARTS) {
            workgroupBarrier();
            stage_side(0u, 0u, place, row0, last_row, d0, lane);
            stage_side(1u, 1u, place, j0, end - 1u, d0, lane);
            workgroupBarrier();
            multiply_sides(&score, x, y);
        }
        var largest_here = vec4<f32>(LOWEST);
        var hidden: array<vec4<bool>, 4>;
        for (var r = 0u; r < 4u; r++) {
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
        // At most 200 nats: further apart one of both counts for nothing, and 0 times infinity would be NaN.
        let fall = max(largest - new_max, vec4<f32>(-200.0));
        let shrink = exp(fall);
        largest = new_max;
        if (ENTROPY) {
            weighted = shrink * (weighted + fall * total);
        }
        total *= shrink;
        if (LONG) {
            if (ENTROPY) {
                weighted_before = shrink * (weighted_before + fall * total_before);
            }
            total_before *= shrink;
        }
        // From here on `score` holds probabilities up to the factor exp(largest).
        for (var r = 0u; r < 4u; r++) {
            for (var n = 0u; n < COLUMNS; n++) {
                acc[r][n] *= shrink[r];
                if (LONG) {
                    acc_before[r][n] *= shrink[r];
                }
            }
            var away = score[r] - new_max[r];
            let p = select(exp_of4(away), vec4<f32>(), hidden[r]);
            total[r] += (p.x + p.y) + (p.z + p.w);
            if (ENTROPY) {
                let part = p * select(max(away, vec4<f32>(-200.0)), vec4<f32>(), hidden[r]);
                weighted[r] += (part.x + part.y) + (part.z + part.w);
            }
            score[r] = p;
        }
        for (var c = 0u; c < 4u; c++) {
            workgroupBarrier();
            shared_rows[x * SIDE + y] = vec4<f32>(score[0][c], score[1][c], score[2][c], score[3][c]);
            stage_rows(2u, place, j0 + c * SIDE, end - 1u, lane);
            workgroupBarrier();
            multiply_rows(&acc, x, y);
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            close_block(&acc_before, &acc);
            total_before += total;
            total = vec4<f32>();
            weighted_before += weighted;
            weighted = vec4<f32>();
        }
    }
    total = row_sum(total_before + total, x, y);
    if (ENTROPY) {
        weighted = row_sum(weighted_before + weighted, x, y);
    }
    let met = met_strays();
    for (var r = 0u; r < 4u; r++) {
        let row = row0 + y + r * SIDE;
        if (row < rows) {
            let h = place.kv_head * group + row % group;
            let at = row_at(out.b, h, row / group);
            // One of the invocations that share the row stores its statistics; all need the factor.
            var inverse = select(1.0 / total[r], 0.0, total[r] == 0.0);
            if (x == 0u) {
                inverse = store_row(at, largest[r], total[r], weighted[r]);
            }
            let q0 = query_at(out, row);
            for (var n = 0u; n < COLUMNS; n++) {
                let d = x + n * SIDE;
                if (d < HEAD_VEC) {
                    var result = acc[r][n];
                    if (LONG) {
                        result += acc_before[r][n];
                    }
                    o[q0 + d] = narrow4(result * inverse + seen_strays(place.b, h, row / group, place.kv_head, d, met));
                }
            }
        }
    }
}
