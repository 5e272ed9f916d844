// Products by cooperative matrices: a workgroup owns keys, and passes over the rows of all query heads that share them.
// Rows of a matrix are keys, its columns rows of queries.
const STAGES: u32 = 2u; // queries and gradients of outputs
// Probabilities of many keys are small: with this factor f16 holds them down to 2^-24 / LIFT as normal numbers would.
const LIFT: f32 = 4096.0;

var<workgroup> row_stats: array<vec2<f32>, TILE>; // lse and delta of the tile's rows

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

fn attend_backward(wg: vec3<u32>, lane: u32) {
    let share = share_of(lane);
    let group = params.heads / params.kv_heads;
    let place = Place(wg.z, wg.y, group);
    let first = wg.x * MATRIX * WAVES;
    let last = min(first + MATRIX * WAVES, params.seq_kv) - 1u;
    let j = min(first + share.row, last);
    let end = key_end(place.b);
    let seen_by = mask_rows(first, last) * group;
    let plane = params.batch * params.heads * params.seq_q;
    let own_at = lane / LANES * MATRIX * OWN_STRIDE;
    var key: array<Left, PARTS>;
    var value: array<Left, PARTS>;
    for (var d = 0u; d < PARTS; d++) {
        stage_own(0u, place, first, last, d, lane);
        key[d] = coopLoadT<Left>(&staged[own_at], OWN_STRIDE);
        if (UPSTREAM) {
            stage_own(1u, place, first, last, d, lane);
            value[d] = coopLoadT<Left>(&staged[own_at], OWN_STRIDE);
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
        stage_tile(2u, 0u, place, row0, last_row, lane);
        if (UPSTREAM) {
            stage_tile(3u, 1u, place, row0, last_row, lane);
        }
        for (var n = lane; n < TILE; n += WG_SIZE) {
            let row = min(row0 + n, last_row);
            let at = row_at(place.b, place.kv_head * group + row % group, row / group);
            row_stats[n] = vec2<f32>(stats[at], stats[plane + at]);
        }
        workgroupBarrier();
        var ds: array<f32, SHARE>; // gradients upon p first
        if (UPSTREAM) {
            for (var c = 0u; c < 2u; c++) {
                var product = Sum();
                for (var d = 0u; d < PARTS; d++) {
                    let at = (TILE + c * MATRIX) * KEY_STRIDE + d * MATRIX;
                    product = coopMultiplyAdd(value[d], coopLoad<Right>(&staged[at], KEY_STRIDE), product);
                }
                coopStoreT(product, &scores[share.wave_scores + c * MATRIX], SCORE_STRIDE);
            }
            workgroupBarrier();
            for (var t = 0u; t < SHARE; t++) {
                ds[t] = scores[share.score_at + share.part * SHARE + t];
            }
            workgroupBarrier();
        }
        for (var c = 0u; c < 2u; c++) {
            var product = Sum();
            for (var d = 0u; d < PARTS; d++) {
                let query = coopLoad<Right>(&staged[c * MATRIX * KEY_STRIDE + d * MATRIX], KEY_STRIDE);
                product = coopMultiplyAdd(key[d], query, product);
            }
            coopStoreT(product, &scores[share.wave_scores + c * MATRIX], SCORE_STRIDE);
        }
        workgroupBarrier();
        var largest = 0.0;
        for (var t = 0u; t < SHARE; t++) {
            let column = share.part * SHARE + t;
            let row = min(row0 + column, last_row);
            let i = row / group;
            let h = place.kv_head * group + row % group;
            let lse = row_stats[column].x;
            let bias = mask_bias(place.b, h, i, j);
            let log_p = scores[share.score_at + column] * params.scale + bias - lse;
            let upon_p = ds[t] + map_grad(place.b, h, i, j, log_p) - row_stats[column].y;
            let seen = first + share.row < end && row0 + column <= last_row && bias > MASKED && lse > MASKED;
            let p = select(0.0, exp(log_p), seen);
            ds[t] = select(0.0, p * upon_p, seen) * params.scale;
            largest = max(largest, abs(ds[t]));
            weights[share.weight_at + column] = f16(p * LIFT);
        }
        if (UPSTREAM) {
            workgroupBarrier();
            for (var c = 0u; c < 2u; c++) {
                let weight = coopLoadT<Left>(&weights[share.wave_weights + c * MATRIX], WEIGHT_STRIDE);
                for (var d = 0u; d < PARTS; d++) {
                    let at = (TILE + c * MATRIX) * KEY_STRIDE + d * MATRIX;
                    dv[d] = coopMultiplyAdd(weight, coopLoadT<Right>(&staged[at], KEY_STRIDE), dv[d]);
                }
            }
        }
        largest = row_max(largest);
        if (anyone(outgrown(largest, reference), lane)) {
            let renewed = max(reference, power_of_two(largest));
            for (var d = 0u; d < PARTS; d++) {
                dk[d] = scaled(dk[d], share, reference * inverse_of(renewed));
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
                let query = coopLoadT<Right>(&staged[c * MATRIX * KEY_STRIDE + d * MATRIX], KEY_STRIDE);
                dk[d] = coopMultiplyAdd(weight, query, dk[d]);
            }
        }
    }
    let second = params.batch * params.seq_kv * params.kv_heads * HEAD_VEC;
    let there = first + share.row < params.seq_kv;
    let k0 = kv_at(place.b, j, place.kv_head);
    for (var d = 0u; d < PARTS; d++) {
        workgroupBarrier();
        coopStoreT(dk[d], &scores[share.wave_scores], SCORE_STRIDE);
        workgroupBarrier();
        for (var t = share.part; t < MATRIX / 4u; t += SHARERS) {
            if (there) {
                dkv[k0 + d * (MATRIX / 4u) + t] = narrow4(result4(share, t) * reference);
            }
        }
        workgroupBarrier();
        coopStoreT(dv[d], &scores[share.wave_scores], SCORE_STRIDE);
        workgroupBarrier();
        for (var t = share.part; t < MATRIX / 4u; t += SHARERS) {
            if (there) {
                dkv[second + k0 + d * (MATRIX / 4u) + t] = narrow4(result4(share, t) * (1.0 / LIFT));
            }
        }
    }
}
