// Products by cooperative matrices: a workgroup owns keys, and passes over the rows of all query heads that share them.
// Rows of a matrix are keys, its columns rows of queries.
const STAGES: u32 = 2u; // queries and gradients of outputs
// Probabilities of many keys are small: with this factor f16 holds 1.5e-8 as it holds 6e-5.
const LIFT_P: f32 = 4096.0;

var<workgroup> tile_stats: array<vec4<f32>, TILE>; // of the tile's rows: largest, log total, delta

fn operand(which: u32, place: Place, row: u32, d: u32) -> Elem4 {
    if (which < 2u) {
        let at = kv_at(place.b, row, place.kv_head) + d;
        if (which == 0u) {
            return k[at];
        }
        return v[at];
    }
    let at = query_at(place, row) + d;
    if (which == 2u) {
        return q[at];
    }
    return d_o[at];
}

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let share = share_of(invocation);
    let group = params.heads / params.kv_heads;
    let place = Place(wg.z, wg.y, group);
    let first = wg.x * OWNED;
    let last = min(first + OWNED, params.seq_kv) - 1u;
    let j = min(first + share.row, last);
    let end = key_end(place.b);
    let seen_by = mask_rows(place.b, first, last) * group;
    var key: array<Left, PARTS>;
    var value: array<Left, PARTS>;
    for (var d = 0u; d < PARTS; d++) {
        stage_own(0u, place, first, last, d, lane);
        for (var w = share.wave; w < WAVES; w += WAVES) {
            key[d] = coopLoadT<Left>(&staged[share.wave_own], OWN_STRIDE);
        }
        if (UPSTREAM) {
            stage_own(1u, place, first, last, d, lane);
            for (var w = share.wave; w < WAVES; w += WAVES) {
                value[d] = coopLoadT<Left>(&staged[share.wave_own], OWN_STRIDE);
            }
        }
    }
    var dk: array<Sum, PARTS>;
    var dv: array<Sum, PARTS>;
    var reference = 0.0;
    for (var row0 = seen_by.x; row0 < seen_by.y; row0 += TILE) {
        let last_row = min(row0 + TILE, seen_by.y) - 1u;
        if (first >= end || mask_hides(row0 / group, last_row / group, first, last)) {
            continue;
        }
        workgroupBarrier();
        var met = stage_tile(2u, 0u, place, row0, last_row, lane, true);
        if (UPSTREAM) {
            let met_too = stage_tile(3u, 1u, place, row0, last_row, lane, true);
            met = met || met_too;
        }
        for (var n = lane; n < TILE; n += WG_SIZE) {
            let row = min(row0 + n, last_row);
            let base = row_at(place.b, place.kv_head * group + row % group, row / group);
            let of_row = stats_of(base);
            tile_stats[n] = vec4<f32>(of_row.largest, of_row.log_total, delta_of(base), 0.0);
        }
        workgroupBarrier();
        var ds: array<vec4<f32>, SHARE>; // gradients upon p first
        if (UPSTREAM) {
            for (var w = share.wave; w < WAVES; w += WAVES) {
                for (var c = 0u; c < SPAN; c++) {
                    var product = Sum();
                    for (var d = 0u; d < PARTS; d++) {
                        let base = (TILE + c * MATRIX) * KEY_STRIDE + d * (MATRIX / 4u);
                        product = coopMultiplyAdd(value[d], coopLoad<Right>(&staged[base], KEY_STRIDE), product);
                    }
                    coopStoreT(product, &scores[share.wave_scores + c * (MATRIX / 4u)], SCORE_STRIDE);
                }
            }
            workgroupBarrier();
            for (var t = 0u; t < SHARE; t++) {
                ds[t] = scores[share.score_at + t];
            }
            workgroupBarrier();
        }
        for (var w = share.wave; w < WAVES; w += WAVES) {
            for (var c = 0u; c < SPAN; c++) {
                var product = Sum();
                for (var d = 0u; d < PARTS; d++) {
                    let base = c * MATRIX * KEY_STRIDE + d * (MATRIX / 4u);
                    product = coopMultiplyAdd(key[d], coopLoad<Right>(&staged[base], KEY_STRIDE), product);
                }
                coopStoreT(product, &scores[share.wave_scores + c * (MATRIX / 4u)], SCORE_STRIDE);
            }
        }
        workgroupBarrier();
        var largest = 0.0;
        for (var t = 0u; t < SHARE; t++) {
            let score = scores[share.score_at + t] * params.scale;
            var p4: vec4<f32>;
            for (var c = 0u; c < 4u; c++) {
                let column = (share.part * SHARE + t) * 4u + c;
                let row = min(row0 + column, last_row);
                let i = row / group;
                let h = place.kv_head * group + row % group;
                let of_row = tile_stats[column];
                let row_stats = RowStats(of_row.x, of_row.y);
                let bias = mask_bias(place.b, h, i, j);
                let log_p = log_probability(score[c] + bias, row_stats);
                let upon_p = ds[t][c] + map_grad(place.b, h, i, j, log_p) - of_row.z;
                let there = first + share.row < end && row0 + column <= last_row;
                let seen = there && bias > MASKED && !is_empty(row_stats);
                p4[c] = select(0.0, exp_of(log_p), seen);
                ds[t][c] = select(0.0, p4[c] * upon_p, seen) * params.scale;
            }
            largest = max(largest, largest_of(abs(ds[t])));
            weights[share.weight_at + t] = narrow4(p4 * LIFT_P);
        }
        largest = row_max(largest);
        let flags = anyone(u32(outgrown(largest, reference)) | (u32(met) << 1u), lane);
        if ((flags & 2u) != 0u) {
            clean_tile(0u, lane);
            if (UPSTREAM) {
                clean_tile(1u, lane);
            }
            workgroupBarrier();
        }
        for (var w = share.wave; UPSTREAM && w < WAVES; w += WAVES) {
            for (var c = 0u; c < SPAN; c++) {
                let weight = coopLoadT<Left>(&weights[share.wave_weights + c * (MATRIX / 4u)], WEIGHT_STRIDE);
                for (var d = 0u; d < PARTS; d++) {
                    let base = (TILE + c * MATRIX) * KEY_STRIDE + d * (MATRIX / 4u);
                    dv[d] = coopMultiplyAdd(weight, coopLoadT<Right>(&staged[base], KEY_STRIDE), dv[d]);
                }
            }
        }
        if ((flags & 1u) != 0u) {
            let renewed = max(reference, power_of_two(largest));
            for (var d = 0u; d < PARTS; d++) {
                dk[d] = scaled(dk[d], share, reference * inverse_of(renewed));
            }
            reference = renewed;
        }
        // Nobody reads the probabilities any more.
        workgroupBarrier();
        let lift = inverse_of(reference) * LIFT;
        for (var t = 0u; t < SHARE; t++) {
            weights[share.weight_at + t] = narrow4(ds[t] * lift);
        }
        workgroupBarrier();
        for (var w = share.wave; w < WAVES; w += WAVES) {
            for (var c = 0u; c < SPAN; c++) {
                let weight = coopLoadT<Left>(&weights[share.wave_weights + c * (MATRIX / 4u)], WEIGHT_STRIDE);
                for (var d = 0u; d < PARTS; d++) {
                    let base = c * MATRIX * KEY_STRIDE + d * (MATRIX / 4u);
                    dk[d] = coopMultiplyAdd(weight, coopLoadT<Right>(&staged[base], KEY_STRIDE), dk[d]);
                }
            }
        }
    }
    // Rows of all heads that share the key head: the queries of those with strays.
    let met = met_strays();
    let met_rows = vec2<u32>(met.x / group, (met.y + group - 1u) / group);
    let there = first + share.row < params.seq_kv;
    for (var d = 0u; d < PARTS; d++) {
        show(dk[d], share);
        var by_key: array<vec4<f32>, (MATRIX / 4u + SHARERS - 1u) / SHARERS>;
        for (var n = 0u; n < (MATRIX / 4u + SHARERS - 1u) / SHARERS; n++) {
            by_key[n] = shown(share, min(share.part + n * SHARERS, MATRIX / 4u - 1u)) * (reference / LIFT);
        }
        show(dv[d], share);
        for (var n = 0u; n < (MATRIX / 4u + SHARERS - 1u) / SHARERS; n++) {
            let t = share.part + n * SHARERS;
            if (there && t < MATRIX / 4u) {
                let by_value = shown(share, t) * (1.0 / LIFT_P);
                store_gradients(place, j, d * (MATRIX / 4u) + t, by_key[n], by_value, met_rows);
            }
        }
    }
}
