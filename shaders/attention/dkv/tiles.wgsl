// A workgroup owns TILE keys and passes over the rows of all query heads that share them, TILE at a time.
fn operand(which: u32, place: Place, row: u32, d: u32) -> vec4<f32> {
    if (which < 2u) {
        let at = kv_at(place.b, row, place.kv_head) + d;
        if (which == 0u) {
            return widen4(k[at]) * params.scale;
        }
        return widen4(v[at]);
    }
    let at = query_at(place, row) + d;
    if (which == 2u) {
        return widen4(q[at]);
    }
    return widen4(d_o[at]);
}

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let x = lane % SIDE;
    let y = lane / SIDE;
    let group = params.heads / params.kv_heads;
    let place = Place(wg.z, wg.y, group);
    let first = wg.x * TILE;
    let last = min(first + TILE, params.seq_kv) - 1u;
    let end = key_end(place.b);
    let seen_by = mask_rows(place.b, first, last) * group;
    var dk: array<array<vec4<f32>, COLUMNS>, 4>;
    var dv: array<array<vec4<f32>, COLUMNS>, 4>;
    var dk_before: array<array<vec4<f32>, COLUMNS>, 4>; // of earlier blocks
    var dv_before: array<array<vec4<f32>, COLUMNS>, 4>;
    var tiles = 0u;
    expect_no_strays(lane);
    for (var row0 = seen_by.x; row0 < seen_by.y; row0 += TILE) {
        let last_row = min(row0 + TILE, seen_by.y) - 1u;
        if (first >= end || mask_hides(row0 / group, last_row / group, first, last)) {
            continue;
        }
        var p: array<vec4<f32>, 4>; // scores first
        var ds: array<vec4<f32>, 4>; // gradients upon p first
        for (var d0 = 0u; d0 < params.head_vec; d0 += PARTS) {
            workgroupBarrier();
            stage_side(0u, 0u, place, first, last, d0, lane);
            stage_side(2u, 1u, place, row0, last_row, d0, lane);
            workgroupBarrier();
            multiply_sides(&p, x, y);
            if (UPSTREAM) {
                workgroupBarrier();
                stage_side(1u, 0u, place, first, last, d0, lane);
                stage_side(3u, 1u, place, row0, last_row, d0, lane);
                workgroupBarrier();
                multiply_sides(&ds, x, y);
            }
        }
        for (var c = 0u; c < 4u; c++) {
            let row = min(row0 + x + c * SIDE, last_row);
            let i = row / group;
            let h = place.kv_head * group + row % group;
            let at = row_at(place.b, h, i);
            let row_stats = stats_of(at);
            let delta = delta_of(at);
            for (var r = 0u; r < 4u; r++) {
                let j = min(first + y + r * SIDE, last);
                let bias = mask_bias(place.b, h, i, j);
                let log_p = log_probability(p[r][c] + bias, row_stats);
                let upon_p = ds[r][c] + map_grad(place.b, h, i, j, log_p) - delta;
                let seen = j < end && row0 + x + c * SIDE <= last_row && bias > MASKED && !is_empty(row_stats);
                p[r][c] = select(0.0, exp_of(log_p), seen);
                ds[r][c] = select(0.0, p[r][c] * upon_p, seen) * params.scale;
            }
        }
        for (var c = 0u; c < 4u; c++) {
            workgroupBarrier();
            shared_rows[x * SIDE + y] = vec4<f32>(ds[0][c], ds[1][c], ds[2][c], ds[3][c]);
            stage_rows(2u, place, row0 + c * SIDE, last_row, lane);
            workgroupBarrier();
            multiply_rows(&dk, x, y);
            if (UPSTREAM) {
                workgroupBarrier();
                shared_rows[x * SIDE + y] = vec4<f32>(p[0][c], p[1][c], p[2][c], p[3][c]);
                stage_rows(3u, place, row0 + c * SIDE, last_row, lane);
                workgroupBarrier();
                multiply_rows(&dv, x, y);
            }
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            close_block(&dk_before, &dk);
            close_block(&dv_before, &dv);
        }
    }
    // Rows of all heads that share the key head: the queries of those with strays.
    let met = met_strays();
    let met_rows = vec2<u32>(met.x / group, (met.y + group - 1u) / group);
    for (var r = 0u; r < 4u; r++) {
        let column = first + y + r * SIDE;
        if (column < params.seq_kv) {
            for (var n = 0u; n < COLUMNS; n++) {
                let d = x + n * SIDE;
                if (d < HEAD_VEC) {
                    var by_key = dk[r][n];
                    var by_value = dv[r][n];
                    if (LONG) {
                        by_key += dk_before[r][n];
                        by_value += dv_before[r][n];
                    }
                    store_gradients(place, column, d, by_key, by_value, met_rows);
                }
            }
        }
    }
}
