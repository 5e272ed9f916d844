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

fn attend_backward(wg: vec3<u32>, lane: u32) {
    let share = share_of(lane);
    let group = params.heads / params.kv_heads;
    let place = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * MATRIX * WAVES;
    let last_row = min(row0 + MATRIX * WAVES, rows) - 1u;
    let row = min(row0 + share.row, last_row);
    let h = place.kv_head * group + row % group;
    let i = row / group;
    let keys = mask_keys(row0 / group, last_row / group);
    let end = min(keys.y, key_end(place.b));
    let own_at = lane / LANES * MATRIX * OWN_STRIDE;
    var query: array<Left, PARTS>;
    var upstream: array<Left, PARTS>;
    for (var d = 0u; d < PARTS; d++) {
        stage_own(0u, place, row0, last_row, d, lane);
        query[d] = coopLoadT<Left>(&staged[own_at], OWN_STRIDE);
        if (UPSTREAM) {
            stage_own(1u, place, row0, last_row, d, lane);
            upstream[d] = coopLoadT<Left>(&staged[own_at], OWN_STRIDE);
        }
    }
    let at = row_at(place.b, h, i);
    let lse = stats[at];
    let delta = stats[params.batch * params.heads * params.seq_q + at];
    var acc: array<Sum, PARTS>;
    var reference = 0.0;
    for (var j0 = keys.x; j0 < end; j0 += TILE) {
        if (mask_hides(row0 / group, last_row / group, j0, min(j0 + TILE, end) - 1u)) {
            continue;
        }
        var ds: array<f32, SHARE>; // gradients upon p first
        if (UPSTREAM) {
            workgroupBarrier();
            stage_tile(3u, 0u, place, j0, end - 1u, lane);
            workgroupBarrier();
            for (var c = 0u; c < 2u; c++) {
                var product = Sum();
                for (var d = 0u; d < PARTS; d++) {
                    let value = coopLoad<Right>(&staged[c * MATRIX * KEY_STRIDE + d * MATRIX], KEY_STRIDE);
                    product = coopMultiplyAdd(upstream[d], value, product);
                }
                coopStoreT(product, &scores[share.wave_scores + c * MATRIX], SCORE_STRIDE);
            }
            workgroupBarrier();
            for (var t = 0u; t < SHARE; t++) {
                ds[t] = scores[share.score_at + share.part * SHARE + t];
            }
        }
        workgroupBarrier();
        stage_tile(2u, 0u, place, j0, end - 1u, lane);
        workgroupBarrier();
        for (var c = 0u; c < 2u; c++) {
            var product = Sum();
            for (var d = 0u; d < PARTS; d++) {
                let key = coopLoad<Right>(&staged[c * MATRIX * KEY_STRIDE + d * MATRIX], KEY_STRIDE);
                product = coopMultiplyAdd(query[d], key, product);
            }
            coopStoreT(product, &scores[share.wave_scores + c * MATRIX], SCORE_STRIDE);
        }
        workgroupBarrier();
        var largest = 0.0;
        for (var t = 0u; t < SHARE; t++) {
            let column = share.part * SHARE + t;
            let j = min(j0 + column, end - 1u);
            let bias = mask_bias(place.b, h, i, j);
            let log_p = scores[share.score_at + column] * params.scale + bias - lse;
            let upon_p = ds[t] + map_grad(place.b, h, i, j, log_p) - delta;
            let seen = bias > MASKED && lse > MASKED && j0 + column < end;
            ds[t] = select(0.0, exp(log_p) * upon_p, seen) * params.scale;
            largest = max(largest, abs(ds[t]));
        }
        largest = row_max(largest);
        if (anyone(outgrown(largest, reference), lane)) {
            let renewed = max(reference, power_of_two(largest));
            for (var d = 0u; d < PARTS; d++) {
                acc[d] = scaled(acc[d], share, reference * inverse_of(renewed));
            }
            reference = renewed;
        }
        let inverse = inverse_of(reference);
        for (var t = 0u; t < SHARE; t++) {
            weights[share.weight_at + share.part * SHARE + t] = f16(ds[t] * inverse);
        }
        workgroupBarrier();
        for (var c = 0u; c < 2u; c++) {
            let weight = coopLoadT<Left>(&weights[share.wave_weights + c * MATRIX], WEIGHT_STRIDE);
            for (var d = 0u; d < PARTS; d++) {
                let key = coopLoadT<Right>(&staged[c * MATRIX * KEY_STRIDE + d * MATRIX], KEY_STRIDE);
                acc[d] = coopMultiplyAdd(weight, key, acc[d]);
            }
        }
    }
    let there = row0 + share.row < rows;
    let q0 = query_at(place, row);
    for (var d = 0u; d < PARTS; d++) {
        workgroupBarrier();
        coopStoreT(acc[d], &scores[share.wave_scores], SCORE_STRIDE);
        workgroupBarrier();
        for (var t = share.part; t < MATRIX / 4u; t += SHARERS) {
            if (there) {
                dq[q0 + d * (MATRIX / 4u) + t] = narrow4(result4(share, t) * reference);
            }
        }
    }
}
