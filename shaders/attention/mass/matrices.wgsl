// Products by cooperative matrices: a workgroup owns keys and passes over the chosen rows of every head, those of all query heads
// that share a key head together. Rows of a matrix are keys, its columns rows of queries.
const CHAINS: u32 = SPAN;

var<workgroup> tile_rows: array<vec4<f32>, TILE>; // of the tile's rows: largest, log total, weight, the query's power

fn operand_at(which: u32, place: Place, first: u32, row: u32) -> u32 {
    if (which == 0u) {
        return key_of(place, first, row);
    }
    return query_of(place, first, row);
}

fn operand(which: u32, at: u32) -> Elem4 {
    if (which == 0u) {
        return k[at];
    }
    return q[at];
}

// The first tile of rows, from rows.x and below rows.y, that gives something to keys of first..=last; rows.y or above where there
// is none.
fn giving_from(rows: vec2<u32>, group: u32, first: u32, last: u32) -> u32 {
    var row0 = rows.x;
    while (row0 < rows.y && none_give(row0 / group, (min(row0 + TILE, rows.y) - 1u) / group, first, last)) {
        row0 += TILE;
    }
    return row0;
}

fn receive(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let share = share_of(invocation);
    let group = GROUP;
    let b = wg.y;
    let first = wg.x * OWNED;
    let last = min(first + OWNED, params.seq_kv) - 1u;
    let own = min(first + row_of(share), last);
    let present = own < key_end(b);
    let rows = givers(b, first, last) * group;
    var received = nothing();
    for (var kv_head = 0u; kv_head < params.kv_heads; kv_head++) {
        let place = Place(b, kv_head, group);
        let begin = select(rows.y, rows.x, any_head(place));
        var key: array<Left, HEAD_MATRICES>;
        workgroupBarrier();
        expect_rows(lane);
        own_rows(&key, 0u, 0u, place, first, last, share, lane);
        for (var row0 = giving_from(vec2<u32>(begin, rows.y), group, first, last); row0 < rows.y; ) {
            let last_row = min(row0 + TILE, rows.y) - 1u;
            workgroupBarrier();
            stage_rows(1u, 0u, place, row0, last_row, lane);
            for (var n = lane; n < TILE; n += WG_SIZE) {
                let row = min(row0 + n, last_row);
                let h = kv_head * group + row % group;
                let of_row = stats_of(row_at(b, h, row / group));
                let weight = select(0.0, weight_of(h, row / group), row0 + n <= last_row);
                tile_rows[n] = vec4<f32>(of_row.largest, of_row.log_total, weight, power_at(tile_row(0u, n)));
            }
            workgroupBarrier();
            expect_tile(lane);
            multiply_tile(&key, share);
            workgroupBarrier();
            var sum = 0.0;
            for (var t = 0u; t < SHARE; t++) {
                let score = scores[score_at(share) + t];
                for (var c = 0u; c < 4u; c++) {
                    let column = (sharer_of(share) * SHARE + t) * 4u + c;
                    let row = min(row0 + column, last_row);
                    let h = kv_head * group + row % group;
                    let of_row = tile_rows[column];
                    let of_key = own_power(0u, row_of(share));
                    let by_power = select(score[c], score[c] * min(of_key, of_row.w) * max(of_key, of_row.w), LIFTED);
                    let row_stats = RowStats(of_row.x, of_row.y);
                    let p = probability_by(b, h, row / group, own, by_power * params.scale, row_stats);
                    let entry = select(0.0, p, present);
                    if (MASS_MAX) {
                        if (of_row.z != 0.0) {
                            received = with_entry(received, entry, h * params.seq_q + row / group);
                        }
                    } else {
                        sum += select(0.0, of_row.z * entry, of_row.z != 0.0);
                    }
                }
            }
            if (!MASS_MAX) {
                received = with_sum(received, sum);
            }
            row0 = giving_from(vec2<u32>(row0 + TILE, rows.y), group, first, last);
        }
    }
    // What the invocations that share a key received, together. An index is below 2^24, which an f32 holds exactly.
    if (MASS_MAX) {
        let largest = row_max(received.mass);
        let index = row_max(select(-f32(NOBODY), -f32(received.largest), received.mass == largest));
        received.mass = largest;
        received.largest = select(u32(-index), NOBODY, index < -16777216.0);
    } else {
        received.sum = Cascade(row_sum(sum_of(received.sum)), 0.0, 0.0, 0u);
    }
    if (sharer_of(share) == 0u && first + row_of(share) < params.seq_kv) {
        store_received(b, own, received);
    }
}
