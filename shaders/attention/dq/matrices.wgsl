// Products by cooperative matrices: a workgroup owns rows of all query heads that share a key head, and passes over the
// keys.
const CHAINS: u32 = 1u;
// Of the owned rows: largest, log total, delta, and the bits of the row's number. Wherever they are wanted they are read: in
// registers they would take the place of matrices.
var<workgroup> own_stats: array<vec4<f32>, OWNED>;

fn operand_at(which: u32, place: Place, first: u32, row: u32) -> u32 {
    if (which < 2u) {
        return query_of(place, first, row);
    }
    return key_of(place, first, row);
}

fn operand(which: u32, at: u32) -> Elem4 {
    if (which == 0u) {
        return q[at];
    }
    if (which == 1u) {
        return d_o[at];
    }
    if (which == 2u) {
        return k[at];
    }
    return v[at];
}

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let share = share_of(invocation);
    let group = GROUP;
    let place = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * OWNED;
    let last_row = min(row0 + OWNED, rows) - 1u;
    let keys = mask_keys(place.b, row0 / group, last_row / group);
    let end = min(keys.y, key_end(place.b));
    if (sharer_of(share) == 0u) {
        let own = min(row0 + row_of(share), last_row);
        let at = row_at(place.b, place.kv_head * group + own % group, own / group);
        let of_row = stats_of(at);
        own_stats[row_of(share)] = vec4<f32>(of_row.largest, of_row.log_total, delta_of(at), bitcast<f32>(own));
    }
    var query: array<Left, HEAD_MATRICES>;
    var upstream: array<Left, HEAD_MATRICES>;
    if (UPSTREAM) {
        own_rows(&upstream, 1u, 1u, place, row0, last_row, share, lane);
    }
    own_rows(&query, 0u, 0u, place, row0, last_row, share, lane);
    var acc: array<Sum, HEAD_MATRICES>;
    clear(&acc);
    var reference = 0.0;
    var tiles = 0u;
    for (var j0 = seen_from(row0 / group, last_row / group, keys.x, end); j0 < end; ) {
        var ds: array<vec4<f32>, SHARE>; // gradients upon p first
        if (UPSTREAM) {
            workgroupBarrier();
            stage_rows(3u, 1u, place, j0, end - 1u, lane);
            keep_powers(1u, lane);
            workgroupBarrier();
            multiply_tile(&upstream, share);
            workgroupBarrier();
            for (var t = 0u; t < SHARE; t++) {
                ds[t] = scores[score_at(share) + t];
                if (LIFTED) {
                    let theirs = kept_powers(1u, sharer_of(share) * SHARE + t);
                    ds[t] = of_powers(ds[t], own_power(1u, row_of(share)), theirs);
                }
            }
        } else {
            workgroupBarrier();
        }
        stage_rows(2u, 0u, place, j0, end - 1u, lane);
        keep_powers(0u, lane);
        workgroupBarrier();
        multiply_tile(&query, share);
        workgroupBarrier();
        var by_columns = blocks_of(2u, place, j0, end - 1u, lane);
        stage_columns(&by_columns, 0u, 0u, tiles & 1u, lane);
        let of_row = own_stats[row_of(share)];
        let row_stats = RowStats(of_row.x, of_row.y);
        let own = bitcast<u32>(of_row.w);
        let h = place.kv_head * group + own % group;
        var largest = 0.0;
        for (var t = 0u; t < SHARE; t++) {
            let theirs = kept_powers(0u, sharer_of(share) * SHARE + t);
            var score = scores[score_at(share) + t];
            if (LIFTED) {
                score = of_powers(score, own_power(0u, row_of(share)), theirs);
            }
            score *= params.scale;
            for (var c = 0u; c < 4u; c++) {
                let column = j0 + (sharer_of(share) * SHARE + t) * 4u + c;
                let j = min(column, end - 1u);
                ds[t][c] = entry_of(place.b, h, own / group, j, score[c], ds[t][c], row_stats, of_row.z, column < end).ds;
            }
            if (LIFTED) {
                ds[t] *= theirs;
            }
            largest = max(largest, largest_of(abs(ds[t])));
        }
        largest = row_max(largest);
        let raise_row = outgrown(largest, reference);
        var shrink = 1.0;
        if (raise_row) {
            let renewed = max(reference, power_of_two(largest));
            shrink = reference * inverse_of(renewed);
            reference = renewed;
        }
        raise(raise_row, 0u, tiles & 1u, lane);
        let lift = inverse_of(reference) * LIFT;
        for (var t = 0u; t < SHARE; t++) {
            weights[weight_at(share) + t] = vec4<f16>(ds[t] * lift);
        }
        workgroupBarrier();
        expect_tile(lane);
        settle(&acc, shrink, 0u, tiles & 1u, j0, end - 1u, share);
        add_tile(&acc, share);
        j0 = seen_from(row0 / group, last_row / group, j0 + TILE, end);
        tiles++;
    }
    let met = met_strays();
    let there = row0 + row_of(share) < rows;
    let row = bitcast<u32>(own_stats[row_of(share)].w);
    let h = place.kv_head * group + row % group;
    let q0 = query_at(place, row);
    for (var d = 0u; d < HEAD_MATRICES; d++) {
        show(acc[0], share);
        put_last(&acc, acc[0]);
        for (var turn = 0u; turn < MATRIX_SHARE; turn++) {
            let t = sharer_of(share) + turn * SHARERS;
            if (there && t < MATRIX / 4u) {
                let vector = d * (MATRIX / 4u) + t;
                let result = shown(share, t) * (reference / LIFT);
                dq[q0 + vector] = narrow4(result + seen_strays(place.b, h, row / group, place.kv_head, vector, met));
            }
        }
    }
}
