// A workgroup owns all rows of a key head, at most ROWS: those of all query heads that share it. Its invocations divide
// the keys of a tile among them, one each, and then the vectors of the results, so that all of them have work however
// few the queries are.
const OWN: u32 = (ROWS * HEAD_VEC + WG_SIZE - 1u) / WG_SIZE; // vectors of results that an invocation owns
const SHARERS: u32 = WG_SIZE / ROWS; // invocations that share the softmax of a row
// Tiles of which one sum is taken, where there are many, LONG.
const BLOCK_TILES: u32 = 16u;

var<workgroup> queries: array<vec4<f32>, ROWS * HEAD_VEC>;
var<workgroup> scores: array<f32, ROWS * WG_SIZE>; // of a tile; then probabilities up to the factor exp(largest)
var<workgroup> parts: array<f32, WG_SIZE>; // of what the sharers of a row reduce
var<workgroup> factors: array<f32, ROWS>; // by which the results of a row are scaled
var<workgroup> seen: array<u32, WG_SIZE>; // of a tile's keys, a bit for each row that sees it

fn is_seen(row: u32, t: u32) -> bool {
    return (seen[t] & (1u << row)) != 0u;
}

fn row_max(value: f32, lane: u32, row: u32) -> f32 {
    parts[lane] = value;
    workgroupBarrier();
    var result = value;
    for (var s = 0u; s < SHARERS; s++) {
        result = max(result, parts[row * SHARERS + s]);
    }
    return result;
}

fn row_sum(value: f32, lane: u32, row: u32) -> f32 {
    workgroupBarrier();
    parts[lane] = value;
    workgroupBarrier();
    var result = 0.0;
    for (var s = 0u; s < SHARERS; s++) {
        result += parts[row * SHARERS + s];
    }
    return result;
}

fn attend(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let group = params.heads / params.kv_heads;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row = lane / SHARERS; // whose softmax the invocation shares
    let first = row * WG_SIZE + lane % SHARERS; // its scores there: this one and every SHARERS-th after it
    for (var n = lane; n < ROWS * HEAD_VEC; n += WG_SIZE) {
        let at = query_at(place, min(n / HEAD_VEC, rows - 1u));
        queries[n] = widen4(q[at + n % HEAD_VEC]) * params.scale;
    }
    let keys = keys_of(0u, params.seq_q - 1u, wg.z);
    let end = keys.y;
    var acc: array<vec4<f32>, OWN>;
    var acc_before: array<vec4<f32>, OWN>; // of earlier blocks
    var largest = LOWEST;
    var total = 0.0;
    var total_before = 0.0;
    var weighted = 0.0; // Σ p · (score - largest)
    var weighted_before = 0.0;
    var tiles = 0u;
    for (var j0 = keys.x; j0 < end; j0 += WG_SIZE) {
        if (mask_hides(0u, params.seq_q - 1u, j0, min(j0 + WG_SIZE, end) - 1u)) {
            continue;
        }
        let j = min(j0 + lane, end - 1u);
        let k0 = kv_at(place.b, j, place.kv_head);
        var score: array<f32, ROWS>;
        workgroupBarrier();
        for (var d = 0u; d < params.head_vec; d++) {
            let key = widen4(k[k0 + d]);
            for (var r = 0u; r < ROWS; r++) {
                score[r] += dot(queries[r * HEAD_VEC + d], key);
            }
        }
        var seen_by = 0u; // a bit for each row
        for (var r = 0u; r < ROWS; r++) {
            let here = min(r, rows - 1u);
            let bias = mask_bias(place.b, place.kv_head * group + here % group, here / group, j);
            let absent = bias <= MASKED || j0 + lane >= end;
            seen_by |= select(1u << r, 0u, absent);
            scores[r * WG_SIZE + lane] = score[r] + select(bias, 0.0, absent);
        }
        seen[lane] = seen_by;
        workgroupBarrier();
        var new_max = largest;
        for (var n = 0u; n < ROWS; n++) {
            let present = is_seen(row, lane % SHARERS + n * SHARERS);
            new_max = max(new_max, select(LOWEST, scores[first + n * SHARERS], present));
        }
        new_max = row_max(new_max, lane, row);
        // At most 200 nats: further apart one of both counts for nothing, and 0 times infinity would be NaN.
        let fall = max(largest - new_max, -200.0);
        let shrink = exp(fall);
        largest = new_max;
        if (ENTROPY) {
            weighted = shrink * (weighted + fall * total);
        }
        total *= shrink;
        if (LONG) {
            if (ENTROPY) {
                weighted_before = shrink * (weighted_before + fall * total_before);
            }
            total_before *= shrink;
        }
        if (lane % SHARERS == 0u) {
            factors[row] = shrink;
        }
        for (var n = 0u; n < ROWS; n++) {
            let away = scores[first + n * SHARERS] - new_max;
            let present = is_seen(row, lane % SHARERS + n * SHARERS);
            let p = select(0.0, exp_of(away), present);
            total += p;
            if (ENTROPY) {
                weighted += p * select(0.0, max(away, -200.0), present);
            }
            scores[first + n * SHARERS] = p;
        }
        workgroupBarrier();
        for (var own = 0u; own < OWN; own++) {
            let n = min(lane + own * WG_SIZE, ROWS * HEAD_VEC - 1u);
            let r = n / HEAD_VEC;
            var sum = vec4<f32>();
            for (var t = 0u; t < WG_SIZE; t++) {
                let at = kv_at(place.b, min(j0 + t, end - 1u), place.kv_head) + n % HEAD_VEC;
                // What a row does not see must not matter, whatever it holds.
                sum += select(vec4<f32>(), scores[r * WG_SIZE + t] * widen4(v[at]), is_seen(r, t));
            }
            acc[own] = acc[own] * factors[r] + sum;
            if (LONG) {
                acc_before[own] *= factors[r];
            }
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            total_before += total;
            total = 0.0;
            weighted_before += weighted;
            weighted = 0.0;
            for (var own = 0u; own < OWN; own++) {
                acc_before[own] += acc[own];
                acc[own] = vec4<f32>();
            }
        }
    }
    total = row_sum(total_before + total, lane, row);
    if (ENTROPY) {
        weighted = row_sum(weighted_before + weighted, lane, row);
    }
    workgroupBarrier();
    if (lane % SHARERS == 0u && row < rows) {
        let at = row_at(out.b, place.kv_head * group + row % group, row / group);
        factors[row] = store_row(at, largest, total, weighted);
    }
    workgroupBarrier();
    for (var own = 0u; own < OWN; own++) {
        let n = lane + own * WG_SIZE;
        if (n < rows * HEAD_VEC) {
            let r = n / HEAD_VEC;
            var result = acc[own];
            if (LONG) {
                result += acc_before[own];
            }
            o[query_at(out, r) + n % HEAD_VEC] = narrow4(result * factors[r]);
        }
    }
}
