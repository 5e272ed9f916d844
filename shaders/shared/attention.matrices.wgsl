// Products by cooperative matrices: a workgroup owns rows of all query heads that share a key head, and passes over the
// keys.
//
// A matrix of results cannot be scaled row by row, so the softmax's state stays outside: probabilities are taken
// relative to a reference of each row, and only where a row's maximum has outgrown its reference by SLACK do results go
// through workgroup memory to be scaled. Until then probabilities are up to exp(SLACK), which f16 holds.
const SLACK: f32 = 8.0;
const STAGES: u32 = 1u;

fn operand(which: u32, place: Place, row: u32, d: u32) -> Elem4 {
    if (which == 0u) {
        return q[query_at(place, row) + d];
    }
    let at = kv_at(place.b, row, place.kv_head) + d;
    if (which == 1u) {
        return k[at];
    }
    return v[at];
}

fn attend(wg: vec3<u32>, lane: u32) {
    let share = share_of(lane);
    let group = params.heads / params.kv_heads;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * MATRIX * WAVES;
    let last_row = min(row0 + MATRIX * WAVES, rows) - 1u;
    let row = min(row0 + share.row, last_row);
    let h = place.kv_head * group + row % group;
    let keys = keys_of(mask_keys(row0 / group, last_row / group), wg.z);
    let end = keys.y;
    var query: array<Left, PARTS>;
    for (var d = 0u; d < PARTS; d++) {
        stage_own(0u, place, row0, last_row, d, lane);
        query[d] = coopLoadT<Left>(&staged[lane / LANES * MATRIX * OWN_STRIDE], OWN_STRIDE);
    }
    var acc: array<Sum, PARTS>;
    var reference = LOWEST;
    var total = 0.0;
    var weighted = 0.0;
    for (var j0 = keys.x; j0 < end; j0 += TILE) {
        if (mask_hides(row0 / group, last_row / group, j0, min(j0 + TILE, end) - 1u)) {
            continue;
        }
        workgroupBarrier();
        stage_tile(1u, 0u, place, j0, end - 1u, lane);
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
        // Values take the place of the keys while the softmax is at work.
        stage_tile(2u, 0u, place, j0, end - 1u, lane);
        var score: array<f32, SHARE>;
        var largest = LOWEST;
        for (var t = 0u; t < SHARE; t++) {
            let at = share.part * SHARE + t;
            let j = j0 + at;
            let bias = mask_bias(place.b, h, row / group, min(j, end - 1u));
            let s = scores[share.score_at + at] * params.scale + bias;
            score[t] = select(s, LOWEST, bias <= MASKED || j >= end);
            largest = max(largest, score[t]);
        }
        largest = row_max(largest);
        if (anyone(largest > reference + SLACK || (reference <= MASKED && largest > MASKED), lane)) {
            let renewed = max(reference, largest);
            let shrink = exp(reference - renewed);
            reference = renewed;
            total *= shrink;
            weighted *= shrink;
            for (var d = 0u; d < PARTS; d++) {
                acc[d] = scaled(acc[d], share, shrink);
            }
        }
        for (var t = 0u; t < SHARE; t++) {
            let s = score[t];
            let p = select(exp(s - reference), 0.0, s <= MASKED);
            total += p;
            if (ENTROPY) {
                weighted += select(p * s, 0.0, s <= MASKED);
            }
            weights[share.weight_at + share.part * SHARE + t] = f16(p);
        }
        workgroupBarrier();
        for (var c = 0u; c < 2u; c++) {
            let weight = coopLoadT<Left>(&weights[share.wave_weights + c * MATRIX], WEIGHT_STRIDE);
            for (var d = 0u; d < PARTS; d++) {
                let value = coopLoadT<Right>(&staged[c * MATRIX * KEY_STRIDE + d * MATRIX], KEY_STRIDE);
                acc[d] = coopMultiplyAdd(weight, value, acc[d]);
            }
        }
    }
    total = row_sum(total);
    if (ENTROPY) {
        weighted = row_sum(weighted);
    }
    // A row that sees no key gives 0 and the lowest lse.
    let seen = total > 0.0;
    let inverse = select(0.0, 1.0 / total, seen);
    let there = row0 + share.row < rows;
    let q0 = query_at(out, row);
    for (var d = 0u; d < PARTS; d++) {
        workgroupBarrier();
        coopStoreT(acc[d], &scores[share.wave_scores], SCORE_STRIDE);
        workgroupBarrier();
        for (var t = share.part; t < MATRIX / 4u; t += SHARERS) {
            if (there) {
                o[q0 + d * (MATRIX / 4u) + t] = narrow4(result4(share, t) * inverse);
            }
        }
    }
    if (there && share.part == 0u) {
        let lse = select(LOWEST, reference + log(total), seen);
        let at = row_at(out.b, h, row / group);
        stats[at] = lse;
        if (ENTROPY) {
            let entropy = select(0.0, lse - weighted * inverse, seen);
            stats[second_plane() + at] = entropy;
        }
    }
}
