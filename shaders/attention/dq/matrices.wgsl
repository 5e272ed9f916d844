// Products by cooperative matrices: a workgroup owns rows of all query heads that share a key head, and passes over the
// keys.
const STAGES: u32 = 1u;

fn operand(which: u32, place: Place, row: u32, d: u32) -> Elem4 {
    if (which < 2u) {
        let at = query_at(place, row) + d;
        if (which == 0u) {
            return q[at];
        }
        return d_o[at];
    }
    let at = kv_at(place.b, row, place.kv_head) + d;
    if (which == 2u) {
        return k[at];
    }
    return v[at];
}

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let share = share_of(invocation);
    let group = params.heads / params.kv_heads;
    let place = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * OWNED;
    let last_row = min(row0 + OWNED, rows) - 1u;
    let row = min(row0 + share.row, last_row);
    let h = place.kv_head * group + row % group;
    let i = row / group;
    let keys = mask_keys(place.b, row0 / group, last_row / group);
    let end = min(keys.y, key_end(place.b));
    var query: array<Left, HEAD_MATRICES>;
    var upstream: array<Left, HEAD_MATRICES>;
    own_rows(&query, 0u, place, row0, last_row, share, lane);
    if (UPSTREAM) {
        own_rows(&upstream, 1u, place, row0, last_row, share, lane);
    }
    let row_stats = stats_of(row_at(place.b, h, i));
    let delta = delta_of(row_at(place.b, h, i));
    var acc: array<Sum, HEAD_MATRICES>;
    var reference = 0.0;
    for (var j0 = keys.x; j0 < end; j0 += TILE) {
        if (mask_hides(row0 / group, last_row / group, j0, min(j0 + TILE, end) - 1u)) {
            continue;
        }
        var ds: array<vec4<f32>, SHARE>; // gradients upon p first
        if (UPSTREAM) {
            workgroupBarrier();
            stage_tile(3u, 0u, place, j0, end - 1u, lane, true);
            workgroupBarrier();
            multiply_tile(&upstream, 0u, share);
            workgroupBarrier();
            for (var t = 0u; t < SHARE; t++) {
                ds[t] = scores[share.score_at + t];
            }
        }
        workgroupBarrier();
        let met = stage_tile(2u, 0u, place, j0, end - 1u, lane, true);
        workgroupBarrier();
        multiply_tile(&query, 0u, share);
        workgroupBarrier();
        var largest = 0.0;
        for (var t = 0u; t < SHARE; t++) {
            let score = scores[share.score_at + t] * params.scale;
            for (var c = 0u; c < 4u; c++) {
                let column = j0 + (share.sharer * SHARE + t) * 4u + c;
                let j = min(column, end - 1u);
                ds[t][c] = entry_of(place.b, h, i, j, score[c], ds[t][c], row_stats, delta, column < end).ds;
            }
            largest = max(largest, largest_of(abs(ds[t])));
        }
        largest = row_max(largest);
        let flags = anyone(u32(outgrown(largest, reference)) | (u32(met) << 1u), lane);
        if ((flags & 1u) != 0u) {
            let renewed = max(reference, power_of_two(largest));
            for (var d = 0u; d < HEAD_MATRICES; d++) {
                acc[d] = scaled(acc[d], share, reference * inverse_of(renewed));
            }
            reference = renewed;
        }
        if ((flags & 2u) != 0u) {
            clean_tile(0u, lane);
        }
        let lift = inverse_of(reference) * LIFT;
        for (var t = 0u; t < SHARE; t++) {
            weights[share.weight_at + t] = narrow4(ds[t] * lift);
        }
        workgroupBarrier();
        add_tile(&acc, 0u, share);
    }
    let met = met_strays();
    let there = row0 + share.row < rows;
    let q0 = query_at(place, row);
    for (var d = 0u; d < HEAD_MATRICES; d++) {
        show(acc[d], share);
        for (var t = share.sharer; t < MATRIX / 4u; t += SHARERS) {
            if (there) {
                let vector = d * (MATRIX / 4u) + t;
                let result = shown(share, t) * (reference / LIFT);
                dq[q0 + vector] = narrow4(result + seen_strays(place.b, h, i, place.kv_head, vector, met));
            }
        }
    }
}
