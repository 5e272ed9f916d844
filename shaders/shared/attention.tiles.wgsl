// A workgroup owns TILE rows: those of all query heads that share a key head, so that every tile of keys serves the whole
// group. It passes over the keys once, TILE at a time, with a running softmax; tiles that the mask hides are left out.
fn operand(which: u32, place: Place, row: u32, d: u32) -> vec4<f32> {
    if (which == 0u) {
        return widen4(q[query_at(place, row) + d]);
    }
    let at = kv_at(place.b, row, place.kv_head) + d;
    if (which == 1u) {
        return widen4(k[at]);
    }
    return widen4(v[at]);
}

fn attend(wg: vec3<u32>, lane: u32) {
    let x = lane % SIDE;
    let y = lane / SIDE;
    let group = params.heads / params.kv_heads;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * TILE;
    let last_row = min(row0 + TILE, rows) - 1u;
    let keys = keys_of(mask_keys(row0 / group, last_row / group), wg.z);
    let end = keys.y;
    var acc: array<array<vec4<f32>, COLUMNS>, 4>;
    var largest = vec4<f32>(LOWEST);
    var total = vec4<f32>();
    var weighted = vec4<f32>();
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
        for (var r = 0u; r < 4u; r++) {
            let row = min(row0 + y + r * SIDE, last_row);
            let h = place.kv_head * group + row % group;
            for (var c = 0u; c < 4u; c++) {
                let j = j0 + x + c * SIDE;
                let bias = mask_bias(place.b, h, row / group, min(j, end - 1u));
                let s = select(score[r][c] * params.scale + bias, LOWEST, bias <= MASKED || j >= end);
                score[r][c] = s;
                largest_here[r] = max(largest_here[r], s);
            }
        }
        let new_max = max(largest, row_max(largest_here, x, y));
        let shrink = exp(largest - new_max);
        largest = new_max;
        total *= shrink;
        weighted *= shrink;
        // From here on `score` holds probabilities up to the factor exp(largest).
        for (var r = 0u; r < 4u; r++) {
            for (var n = 0u; n < COLUMNS; n++) {
                acc[r][n] *= shrink[r];
            }
            for (var c = 0u; c < 4u; c++) {
                let s = score[r][c];
                let p = select(exp(s - new_max[r]), 0.0, s <= MASKED);
                total[r] += p;
                if (ENTROPY) {
                    weighted[r] += select(p * s, 0.0, s <= MASKED);
                }
                score[r][c] = p;
            }
        }
        for (var c = 0u; c < 4u; c++) {
            workgroupBarrier();
            shared_rows[x * SIDE + y] = vec4<f32>(score[0][c], score[1][c], score[2][c], score[3][c]);
            stage_rows(2u, place, j0 + c * SIDE, end - 1u, lane);
            workgroupBarrier();
            multiply_rows(&acc, x, y);
        }
    }
    total = row_sum(total, x, y);
    if (ENTROPY) {
        weighted = row_sum(weighted, x, y);
    }
    for (var r = 0u; r < 4u; r++) {
        let row = row0 + y + r * SIDE;
        if (row < rows) {
            // A row that sees no key gives 0 and the lowest lse.
            let seen = total[r] > 0.0;
            let inverse = select(0.0, 1.0 / total[r], seen);
            let q0 = query_at(out, row);
            for (var n = 0u; n < COLUMNS; n++) {
                let d = x + n * SIDE;
                if (d < HEAD_VEC) {
                    o[q0 + d] = narrow4(acc[r][n] * inverse);
                }
            }
            if (x == 0u) {
                let lse = select(LOWEST, largest[r] + log(total[r]), seen);
                let at = row_at(out.b, place.kv_head * group + row % group, row / group);
                stats[at] = lse;
                if (ENTROPY) {
                    let entropy = select(0.0, lse - weighted[r] * inverse, seen);
                    stats[second_plane() + at] = entropy;
                }
            }
        }
    }
}
