// Products by cooperative matrices: a workgroup owns keys, and passes over the rows of all query heads that share them.
// Rows of a matrix are keys, its columns rows of queries.
//
// Keys, values and the gradients by both are 192 registers at heads of 128, where subgroups have 32 invocations: with VALUES_SHOWN
// values lie in workgroup memory instead, for compilers that have 255 registers and spill.
const CHAINS: u32 = 1u;
// Probabilities of many keys are small: with this factor f16 holds 1.5e-8 as it holds 6e-5.
const LIFT_P: f32 = 4096.0;

var<workgroup> tile_stats: array<vec4<f32>, TILE>; // of the tile's rows: largest, log total, delta, the query's power

// Values of the owned keys, (OWNED, KEY_STRIDE).
var<workgroup> own_values: array<vec4<f16>, select(1u, OWNED * KEY_STRIDE, VALUES_SHOWN)>;

fn operand_at(which: u32, place: Place, first: u32, row: u32) -> u32 {
    if (which < 2u) {
        return key_of(place, first, row);
    }
    return query_of(place, first, row);
}

fn operand(which: u32, at: u32) -> Elem4 {
    if (which == 0u) {
        return k[at];
    }
    if (which == 1u) {
        return v[at];
    }
    if (which == 2u) {
        return q[at];
    }
    return d_o[at];
}

// The first tile of rows, from rows.x and below rows.y, that sees some key of first..=last; rows.y or above where there is none.
fn seeing_from(rows: vec2<u32>, group: u32, first: u32, last: u32) -> u32 {
    var row0 = rows.x;
    while (row0 < rows.y && mask_hides(row0 / group, (min(row0 + TILE, rows.y) - 1u) / group, first, last)) {
        row0 += TILE;
    }
    return row0;
}

fn show_values(place: Place, first: u32, last: u32, lane: u32) {
    note_own(1u, 1u, place, first, last, lane);
    for (var n = lane; n < OWNED * HEAD_VEC; n += WG_SIZE) {
        let row = n / HEAD_VEC;
        let d = n % HEAD_VEC;
        let value = operand(1u, operand_at(1u, place, first, min(row, last - first)) + d);
        own_values[row * KEY_STRIDE + d] = half_of(value, lift_at(own_row(1u, row)));
    }
}

// scores = shown values · the rows of a tile staged by rows, as `multiply_tile`.
fn multiply_values(share: Share) {
    loop {
        if (share.wave >= WAVES) {
            break;
        }
        for (var c0 = 0u; c0 < SPAN; c0 += CHAINS) {
            var products = no_products();
            for (var d = 0u; d < HEAD_MATRICES; d++) {
                let at = owned_by(share) * KEY_STRIDE + d * (MATRIX / 4u);
                add_products(&products, coopLoadT<Left>(&own_values[at], KEY_STRIDE), c0, d);
            }
            store_products(&products, c0, share);
        }
        break;
    }
}

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let share = share_of(invocation);
    let group = GROUP;
    let place = Place(wg.z, wg.y, group);
    let first = wg.x * OWNED;
    let last = min(first + OWNED, params.seq_kv) - 1u;
    let end = key_end(place.b);
    let seen_by = select(mask_rows(place.b, first, last) * group, vec2<u32>(), first >= end);
    var key: array<Left, HEAD_MATRICES>;
    var value: array<Left, HEAD_MATRICES>;
    own_rows(&key, 0u, 0u, place, first, last, share, lane);
    if (UPSTREAM && VALUES_SHOWN) {
        show_values(place, first, last, lane);
    } else if (UPSTREAM) {
        own_rows(&value, 1u, 1u, place, first, last, share, lane);
    }
    var dk: array<Sum, HEAD_MATRICES>;
    var dv: array<Sum, HEAD_MATRICES>;
    clear(&dk);
    clear(&dv);
    var reference = 0.0; // of dk, and of dv where gradients have powers
    var unit = 0.0;
    var tiles = 0u;
    for (var row0 = seeing_from(seen_by, group, first, last); row0 < seen_by.y; ) {
        let last_row = min(row0 + TILE, seen_by.y) - 1u;
        workgroupBarrier();
        for (var n = lane; n < TILE; n += WG_SIZE) {
            let row = min(row0 + n, last_row);
            let base = row_at(place.b, place.kv_head * group + row % group, row / group);
            let of_row = stats_of(base);
            tile_stats[n] = vec4<f32>(of_row.largest, of_row.log_total, delta_of(base), 0.0);
        }
        var ds: array<vec4<f32>, SHARE>; // gradients upon p first
        if (UPSTREAM) {
            stage_rows(3u, 1u, place, row0, last_row, lane);
            keep_powers(1u, lane);
            workgroupBarrier();
            if (VALUES_SHOWN) {
                multiply_values(share);
            } else {
                multiply_tile(&value, share);
            }
            workgroupBarrier();
            for (var t = 0u; t < SHARE; t++) {
                ds[t] = scores[score_at(share) + t];
            }
        }
        stage_rows(2u, 0u, place, row0, last_row, lane);
        if (LIFTED && lane < TILE) {
            tile_stats[lane].w = power_at(tile_row(0u, lane));
        }
        workgroupBarrier();
        multiply_tile(&key, share);
        workgroupBarrier();
        // What is summed over takes the place of the tile while probabilities are at work.
        var blocks = blocks_of(select(2u, 3u, UPSTREAM), place, row0, last_row, lane);
        stage_columns(&blocks, select(0u, 1u, UPSTREAM), select(0u, 1u, UPSTREAM), tiles & 1u, lane);
        let own = min(first + row_of(share), last);
        var largest = 0.0;
        var weighty = 0.0; // the largest probability with the power of its gradients
        for (var t = 0u; t < SHARE; t++) {
            let score = scores[score_at(share) + t] * params.scale;
            let of_gradients = kept_powers(1u, sharer_of(share) * SHARE + t);
            if (LIFTED && UPSTREAM) {
                ds[t] = of_powers(ds[t], own_power(1u, row_of(share)), of_gradients);
            }
            var p4: vec4<f32>;
            for (var c = 0u; c < 4u; c++) {
                let column = (sharer_of(share) * SHARE + t) * 4u + c;
                let row = min(row0 + column, last_row);
                let i = row / group;
                let h = place.kv_head * group + row % group;
                let of_row = tile_stats[column];
                let of_key = own_power(0u, row_of(share));
                let by_power = select(score[c], score[c] * min(of_key, of_row.w) * max(of_key, of_row.w), LIFTED);
                let row_stats = RowStats(of_row.x, of_row.y);
                let present = first + row_of(share) < end && row0 + column <= last_row;
                let entry = entry_of(place.b, h, i, own, by_power, ds[t][c], row_stats, of_row.z, present);
                p4[c] = entry.p;
                ds[t][c] = select(entry.ds, entry.ds * of_row.w, LIFTED);
            }
            if (LIFTED) {
                p4 *= of_gradients;
                weighty = max(weighty, largest_of(p4));
                scores[score_at(share) + t] = p4;
            } else {
                weights[weight_at(share) + t] = vec4<f16>(p4 * LIFT_P);
            }
            largest = max(largest, largest_of(abs(ds[t])));
        }
        largest = row_max(largest);
        var shrink_dv = 1.0;
        var raise_dv = false;
        if (LIFTED && UPSTREAM) {
            weighty = row_max(weighty);
            raise_dv = outgrown(weighty, unit);
            if (raise_dv) {
                let renewed = max(unit, power_of_two(weighty));
                shrink_dv = unit * inverse_of(renewed);
                unit = renewed;
            }
            let lift = inverse_of(unit) * LIFT;
            for (var t = 0u; t < SHARE; t++) {
                weights[weight_at(share) + t] = vec4<f16>(scores[score_at(share) + t] * lift);
            }
        }
        let raise_row = outgrown(largest, reference);
        var shrink = 1.0;
        if (raise_row) {
            let renewed = max(reference, power_of_two(largest));
            shrink = reference * inverse_of(renewed);
            reference = renewed;
        }
        raise(raise_dv, 1u, tiles & 1u, lane);
        raise(raise_row, 0u, tiles & 1u, lane);
        workgroupBarrier();
        if (UPSTREAM) {
            settle(&dv, shrink_dv, 1u, tiles & 1u, row0, last_row, share);
            add_tile(&dv, share);
            workgroupBarrier();
            var queries = blocks_of(2u, place, row0, last_row, lane);
            stage_columns(&queries, 0u, 0u, tiles & 1u, lane);
        }
        let lift = inverse_of(reference) * LIFT;
        for (var t = 0u; t < SHARE; t++) {
            weights[weight_at(share) + t] = vec4<f16>(ds[t] * lift);
        }
        workgroupBarrier();
        expect_tile(lane);
        settle(&dk, shrink, 0u, tiles & 1u, row0, last_row, share);
        add_tile(&dk, share);
        tiles++;
        row0 = seeing_from(vec2<u32>(row0 + TILE, seen_by.y), group, first, last);
    }
    // Rows of all heads that share the key head: the queries of those with strays.
    let met = met_strays();
    let met_rows = vec2<u32>(met.x / group, (met.y + group - 1u) / group);
    let there = first + row_of(share) < params.seq_kv;
    let j = min(first + row_of(share), last);
    for (var d = 0u; d < HEAD_MATRICES; d++) {
        show(dk[0], share);
        put_last(&dk, dk[0]);
        var by_key: array<vec4<f32>, MATRIX_SHARE>;
        for (var n = 0u; n < MATRIX_SHARE; n++) {
            by_key[n] = shown(share, min(sharer_of(share) + n * SHARERS, MATRIX / 4u - 1u)) * (reference / LIFT);
        }
        show(dv[0], share);
        put_last(&dv, dv[0]);
        for (var n = 0u; n < MATRIX_SHARE; n++) {
            let t = sharer_of(share) + n * SHARERS;
            if (there && t < MATRIX / 4u) {
                let by_value = shown(share, t) * select(1.0 / LIFT_P, unit / LIFT, LIFTED);
                store_gradients(place, j, d * (MATRIX / 4u) + t, by_key[n], by_value, met_rows);
            }
        }
    }
}
