// A workgroup owns OWNED keys and passes over the rows of all query heads that share them, TILE at a time.
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

// Sums up the gradient by keys, by values, or both, and stores it.
fn sum_up(by_keys: bool, by_values: bool, wg: vec3<u32>, lane: u32) {
    let x = lane % SIDE;
    let y = lane / SIDE;
    let group = GROUP;
    let place = Place(wg.z, wg.y, group);
    let first = wg.x * OWNED;
    let last = min(first + OWNED, params.seq_kv) - 1u;
    let end = key_end(place.b);
    let seen_by = mask_rows(place.b, first, last) * group;
    var dk: array<array<vec4<f32>, COLUMNS>, OWN>;
    var dv: array<array<vec4<f32>, COLUMNS>, OWN>;
    var dk_before: array<array<vec4<f32>, COLUMNS>, OWN>; // of earlier blocks
    var dv_before: array<array<vec4<f32>, COLUMNS>, OWN>;
    var tiles = 0u;
    for (var row0 = seen_by.x; row0 < seen_by.y; row0 += TILE) {
        let last_row = min(row0 + TILE, seen_by.y) - 1u;
        if (first >= end || mask_hides(row0 / group, last_row / group, first, last)) {
            continue;
        }
        var p: array<vec4<f32>, OWN>; // scores first
        var ds: array<vec4<f32>, OWN>; // gradients upon p first
        for (var d0 = 0u; d0 < params.head_vec; d0 += SLAB) {
            multiply_slabs(&p, Side(0u, first, last), Side(2u, row0, last_row), place, d0, lane);
            if (UPSTREAM && by_keys) {
                multiply_slabs(&ds, Side(1u, first, last), Side(3u, row0, last_row), place, d0, lane);
            }
        }
        for (var c = 0u; c < 4u; c++) {
            let row = min(row0 + x + c * SIDE, last_row);
            let i = row / group;
            let h = place.kv_head * group + row % group;
            let at = row_at(place.b, h, i);
            let row_stats = stats_of(at);
            let delta = delta_of(at);
            for (var r = 0u; r < OWN; r++) {
                let j = min(first + y + r * SIDE, last);
                let present = j < end && row0 + x + c * SIDE <= last_row;
                let entry = entry_of(place.b, h, i, j, p[r][c], ds[r][c], row_stats, delta, present);
                p[r][c] = entry.p;
                ds[r][c] = entry.ds;
            }
        }
        for (var c = 0u; c < 4u; c++) {
            if (by_keys) {
                add_rows(&dk, &ds, c, Side(2u, row0, last_row), place, lane);
            }
            if (UPSTREAM && by_values) {
                add_rows(&dv, &p, c, Side(3u, row0, last_row), place, lane);
            }
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            add_block(&dk_before, &dk);
            add_block(&dv_before, &dv);
        }
    }
    if (LONG) {
        add_block(&dk, &dk_before);
        add_block(&dv, &dv_before);
    }
    // Rows of all heads that share the key head: the queries of those with strays.
    let met = met_strays();
    let met_rows = vec2<u32>(met.x / group, (met.y + group - 1u) / group);
    for (var r = 0u; r < OWN; r++) {
        let column = first + y + r * SIDE;
        for (var n = 0u; n < COLUMNS; n++) {
            let d = x + n * SIDE;
            let by_key = take_vector(&dk);
            let by_value = take_vector(&dv);
            let there = column < params.seq_kv && d < HEAD_VEC;
            if (by_keys && there) {
                store_by_key(place, column, d, by_key, met_rows);
            }
            if (by_values && there) {
                store_by_value(place, column, d, by_value, met_rows);
            }
        }
    }
}

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    expect_no_strays(invocation.lane);
    if (APART) {
        sum_up(true, false, wg, invocation.lane);
        workgroupBarrier();
        sum_up(false, true, wg, invocation.lane);
    } else {
        sum_up(true, true, wg, invocation.lane);
    }
}
