// Products by cooperative matrices: a workgroup owns rows of all query heads that share a key head, and passes over the
// keys.
//
// A matrix of results cannot be scaled row by row, so the softmax's state stays outside: probabilities are taken
// relative to a reference of each row, and only where a row's maximum has outgrown its reference by RISE do results go
// through workgroup memory to be scaled. Until then probabilities are up to exp(RISE), and 2^RAISED_BY times as much wherever
// they are summed: f16 holds 30,266 of that, and what many small ones have together would be lost in numbers below 6e-5.
//
// Where values have powers of two of their own, a probability counts with that of its value, in f16 relative to a unit of the
// row's, a power of two too, as gradients are.
const RISE: f32 = 2.0;
const RAISED_BY: f32 = select(12.0, 0.0, LIFTED);
const LOG2_E: f32 = 1.442695;
const SMALL: f32 = 5.9604645e-8; // with which no sum of finite scores is infinite
const CHAINS: u32 = SPAN;
alias Rows = f32;

fn operand_at(which: u32, place: Place, first: u32, row: u32) -> u32 {
    if (which == 0u) {
        return query_of(place, first, row);
    }
    return key_of(place, first, row);
}

fn operand(which: u32, at: u32) -> Elem4 {
    if (which == 0u) {
        return q[at];
    }
    if (which == 1u) {
        return k[at];
    }
    return v[at];
}

fn attend(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let share = share_of(invocation);
    let group = GROUP;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = wg.x * OWNED;
    let last_row = min(row0 + OWNED, rows) - 1u;
    let row = min(row0 + row_of(share), last_row);
    let h = place.kv_head * group + row % group;
    let keys = keys_of(row0 / group, last_row / group, wg.z);
    let end = keys.y;
    var query: array<Left, HEAD_MATRICES>;
    own_rows(&query, 0u, 0u, place, row0, last_row, share, lane);
    var acc: array<Sum, HEAD_MATRICES>;
    clear(&acc);
    var highest = LOWEST; // of the row's scores so far, while probabilities are relative to the reference
    var reference = LOWEST;
    var unit = 0.0;
    var sums: Sums; // relative to the reference
    var sums_before: Sums; // of earlier blocks
    var tiles = 0u;
    for (var j0 = seen_from(row0 / group, last_row / group, keys.x, end); j0 < end; ) {
        workgroupBarrier();
        stage_rows(1u, 0u, place, j0, end - 1u, lane);
        keep_powers(0u, lane);
        workgroupBarrier();
        var values = blocks_of(2u, place, j0, end - 1u, lane);
        multiply_tile(&query, share);
        if (LIFTED) {
            note_blocks(&values, 1u, lane);
        }
        workgroupBarrier();
        // Values take the place of the keys while the softmax is at work.
        stage_columns(&values, 1u, 0u, tiles & 1u, lane);
        var score: array<vec4<f32>, SHARE>; // LOWEST where a key is hidden
        for (var t = 0u; t < SHARE; t++) {
            score[t] = scores[score_at(share) + t];
            if (LIFTED) {
                score[t] = of_powers(score[t], own_power(0u, row_of(share)), kept_powers(0u, sharer_of(share) * SHARE + t));
            }
            score[t] *= params.scale;
            for (var c = 0u; c < 4u; c++) {
                let j = j0 + (sharer_of(share) * SHARE + t) * 4u + c;
                let bias = mask_bias(place.b, h, row / group, min(j, end - 1u));
                score[t][c] = select(score[t][c] + bias, LOWEST, bias <= MASKED);
            }
        }
        // Of the last tile: all others are spared the question.
        if (j0 + TILE > end) {
            for (var t = 0u; t < SHARE; t++) {
                let j = vec4<u32>(j0 + (sharer_of(share) * SHARE + t) * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
                score[t] = select(score[t], vec4<f32>(LOWEST), j >= vec4<u32>(end));
            }
        }
        var largest = LOWEST;
        var small = 0.0; // no number where a score is none, or where infinities make the sum of probabilities none
        for (var t = 0u; t < SHARE; t++) {
            largest = max(largest, largest_of(score[t]));
            small += dot(score[t], vec4<f32>(SMALL));
        }
        largest = row_max(largest);
        highest = max(highest, largest);
        let rises = largest > reference + RISE || (reference <= LOWEST && largest > LOWEST);
        var shrink = 1.0;
        if (rises) {
            let fall = fall_of(reference, largest);
            shrink = exp(fall);
            reference = largest;
            sums = fallen(sums, fall);
            sums_before = fallen(sums_before, fall);
        }
        var weighty = 0.0; // largest probability with the power of its value
        // Of a row that has seen no key: relative to that which stands for a hidden one its probability would be 1.
        let base = select(reference, 0.0, reference <= LOWEST);
        for (var t = 0u; t < SHARE; t++) {
            let away = score[t] - base;
            var p = exp2(away * LOG2_E + RAISED_BY);
            sums.total += total_of(p);
            if (ENTROPY) {
                sums.weighted += total_of(p * max(away, vec4<f32>(-200.0)));
            }
            if (LIFTED) {
                // Some drivers' least power of two is no 0, and what is hidden may be large.
                p = select(p, vec4<f32>(), score[t] <= vec4<f32>(LOWEST));
                for (var c = 0u; c < 4u; c++) {
                    p[c] *= power_at(tile_row(1u, (sharer_of(share) * SHARE + t) * 4u + c));
                }
                weighty = max(weighty, largest_of(p));
                score[t] = p;
            } else {
                weights[weight_at(share) + t] = vec4<f16>(p);
            }
        }
        sums.total = select(sums.total, small, is_nan(small));
        var rise = rises;
        if (LIFTED) {
            weighty = row_max(weighty);
            if (rises || outgrown(weighty, unit)) {
                rise = true;
                let renewed = max(power_of_two(unit * shrink), power_of_two(weighty));
                shrink *= unit * inverse_of(renewed);
                unit = renewed;
            }
            let lift = inverse_of(unit) * LIFT;
            for (var t = 0u; t < SHARE; t++) {
                weights[weight_at(share) + t] = vec4<f16>(score[t] * lift);
            }
        }
        raise(rise, 0u, tiles & 1u, lane);
        workgroupBarrier();
        expect_tile(lane);
        settle(&acc, shrink, 0u, tiles & 1u, j0, end - 1u, share);
        add_tile(&acc, share);
        j0 = seen_from(row0 / group, last_row / group, j0 + TILE, end);
        tiles++;
        if (tiles % BLOCK_TILES == 0u) {
            sums_before = together(sums_before, sums);
            sums = Sums();
        }
    }
    sums = together(sums_before, sums);
    let lowered = exp2(-RAISED_BY);
    sums.total = row_sum(sums.total) * lowered;
    // Of a row that saw no key: some drivers' least power of two is no 0.
    sums.total = select(sums.total, 0.0, highest <= LOWEST && !is_nan(sums.total));
    if (ENTROPY) {
        sums.weighted = row_sum(sums.weighted) * lowered;
    }
    let met = met_strays();
    let there = row0 + row_of(share) < rows;
    let inverse = select(1.0 / sums.total, 0.0, sums.total == 0.0);
    if (there && sharer_of(share) == 0u) {
        sums = fallen(sums, reference - highest);
        store_row(row_at(out.b, h, row / group), highest, sums.total, sums.weighted);
    }
    let q0 = query_at(out, row);
    for (var d = 0u; d < HEAD_MATRICES; d++) {
        show(acc[0], share);
        put_last(&acc, acc[0]);
        for (var turn = 0u; turn < MATRIX_SHARE; turn++) {
            let t = sharer_of(share) + turn * SHARERS;
            if (there && t < MATRIX / 4u) {
                let vector = d * (MATRIX / 4u) + t;
                let result = shown(share, t) * inverse * select(lowered, unit / LIFT, LIFTED);
                o[q0 + vector] = narrow4(result + seen_strays(place.b, h, row / group, place.kv_head, vector, met));
            }
        }
    }
}
