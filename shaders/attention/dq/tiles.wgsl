// A workgroup owns OWNED rows, those of all query heads that share a key head, and takes the keys TILE at a time, as in
// the forward.
fn operand(which: u32, place: Place, row: u32, d: u32) -> vec4<f32> {
    if (which < 2u) {
        let at = query_at(place, row) + d;
        if (which == 0u) {
            return widen4(q[at]) * params.scale;
        }
        return widen4(d_o[at]);
    }
    let at = kv_at(place.b, row, place.kv_head) + d;
    if (which == 2u) {
        return widen4(k[at]);
    }
    return widen4(v[at]);
}

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let x = lane % SIDE;
    let y = lane / SIDE;
    let group = GROUP;
    let place = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * OWNED;
    let last_row = min(row0 + OWNED, rows) - 1u;
    let keys = mask_keys(place.b, row0 / group, last_row / group);
    let end = min(keys.y, key_end(place.b));
    var acc: array<array<vec4<f32>, COLUMNS>, OWN>;
    var acc_before: array<array<vec4<f32>, COLUMNS>, OWN>; // of earlier blocks
    var row_stats: array<RowStats, OWN>;
    var delta: Rows;
    var tiles = 0u;
    expect_no_strays(lane);
    for (var r = 0u; r < OWN; r++) {
        let row = min(row0 + y + r * SIDE, last_row);
        let at = row_at(place.b, place.kv_head * group + row % group, row / group);
        row_stats[r] = stats_of(at);
        delta[r] = delta_of(at);
    }
    for (var j0 = keys.x; j0 < end; j0 += TILE) {
        if (mask_hides(row0 / group, last_row / group, j0, min(j0 + TILE, end) - 1u)) {
            continue;
        }
        var ds: array<vec4<f32>, OWN>; // scores first
        var dp: array<vec4<f32>, OWN>;
        for (var d0 = 0u; d0 < params.head_vec; d0 += SLAB) {
            multiply_slabs(&ds, Side(0u, row0, last_row), Side(2u, j0, end - 1u), place, d0, lane);
            if (UPSTREAM) {
                multiply_slabs(&dp, Side(1u, row0, last_row), Side(3u, j0, end - 1u), place, d0, lane);
            }
        }
        for (var r = 0u; r < OWN; r++) {
            let row = min(row0 + y + r * SIDE, last_row);
            let i = row / group;
            let h = place.kv_head * group + row % group;
            for (var c = 0u; c < 4u; c++) {
                let column = j0 + x + c * SIDE;
                let j = min(column, end - 1u);
                ds[r][c] = entry_of(place.b, h, i, j, ds[r][c], dp[r][c], row_stats[r], delta[r], column < end).ds;
            }
        }
        for (var c = 0u; c < 4u; c++) {
            add_rows(&acc, &ds, c, Side(2u, j0, end - 1u), place, lane);
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            add_block(&acc_before, &acc);
        }
    }
    if (LONG) {
        add_block(&acc, &acc_before);
    }
    let met = met_strays();
    for (var r = 0u; r < OWN; r++) {
        let row = row0 + y + r * SIDE;
        let h = place.kv_head * group + row % group;
        let q0 = query_at(place, row);
        for (var n = 0u; n < COLUMNS; n++) {
            let d = x + n * SIDE;
            let result = take_vector(&acc);
            if (row < rows && d < HEAD_VEC) {
                let seen = seen_strays(place.b, h, row / group, place.kv_head, d, met);
                dq[q0 + d] = narrow4(result + seen);
            }
        }
    }
}
