// A workgroup owns OWNED keys and passes over the chosen rows of every head, those of all query heads that share a key
// head together, TILE at a time.
fn operand(which: u32, place: Place, row: u32, d: u32) -> vec4<f32> {
    if (which == 0u) {
        return widen4(k[kv_at(place.b, row, place.kv_head) + d]) * params.scale;
    }
    return widen4(q[query_at(place, row) + d]);
}

fn receive(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let x = lane % SIDE;
    let y = lane / SIDE;
    let group = GROUP;
    let b = wg.y;
    let first = wg.x * OWNED;
    let last = min(first + OWNED, params.seq_kv) - 1u;
    let end = key_end(b);
    let rows = givers(b, first, last) * group;
    var received: array<Received, OWN>;
    for (var r = 0u; r < OWN; r++) {
        received[r] = nothing();
    }
    for (var kv_head = 0u; kv_head < params.kv_heads; kv_head++) {
        let place = Place(b, kv_head, group);
        if (!any_head(place)) {
            continue;
        }
        for (var row0 = rows.x; row0 < rows.y; row0 += TILE) {
            let last_row = min(row0 + TILE, rows.y) - 1u;
            if (none_give(row0 / group, last_row / group, first, last)) {
                continue;
            }
            var score: array<vec4<f32>, OWN>;
            for (var d0 = 0u; d0 < params.head_vec; d0 += SLAB) {
                multiply_slabs(&score, Side(0u, first, last), Side(1u, row0, last_row), place, d0, lane);
            }
            var sums = Rows();
            for (var c = 0u; c < 4u; c++) {
                let row = row0 + x + c * SIDE;
                let i = min(row, last_row) / group;
                let h = kv_head * group + min(row, last_row) % group;
                let weight = weight_of(h, i);
                let chosen = row <= last_row && weight != 0.0;
                for (var r = 0u; r < OWN; r++) {
                    let j = min(first + y + r * SIDE, last);
                    let entry = entry_of(b, h, i, j, score[r][c], j < end);
                    if (MASS_MAX) {
                        if (chosen) {
                            received[r] = with_entry(received[r], entry, h * params.seq_q + i);
                        }
                    } else {
                        sums[r] += select(0.0, weight * entry, chosen);
                    }
                }
            }
            if (!MASS_MAX) {
                for (var r = 0u; r < OWN; r++) {
                    received[r] = with_sum(received[r], sums[r]);
                }
            }
        }
    }
    // What the invocations of a row of the tile received, together.
    workgroupBarrier();
    if (MASS_MAX) {
        var own: Rows;
        for (var r = 0u; r < OWN; r++) {
            own[r] = received[r].mass;
        }
        // An index is below 2^24, which an f32 holds exactly.
        var index: Rows;
        let largest = row_max(own, x, y);
        for (var r = 0u; r < OWN; r++) {
            index[r] = select(f32(NOBODY), f32(received[r].largest), own[r] == largest[r]);
        }
        workgroupBarrier();
        index = -row_max(-index, x, y);
        for (var r = 0u; r < OWN; r++) {
            received[r].mass = largest[r];
            received[r].largest = select(u32(index[r]), NOBODY, index[r] > 16777216.0);
        }
    } else {
        var sums: Rows;
        for (var r = 0u; r < OWN; r++) {
            sums[r] = sum_of(received[r].sum);
        }
        sums = row_sum(sums, x, y);
        for (var r = 0u; r < OWN; r++) {
            received[r].sum = Cascade(sums[r], 0.0, 0.0, 0u);
        }
    }
    for (var r = 0u; r < OWN; r++) {
        let column = first + y + r * SIDE;
        if (x == 0u && column < params.seq_kv) {
            store_received(b, column, received[r]);
        }
    }
}
