// A workgroup owns all rows of a key head, at most ROWS: those of all query heads that share it. Its invocations divide
// the keys of a tile among them, one each, and then the vectors of the results, so that all of them have work however
// few the queries are.
const OWN: u32 = (ROWS * HEAD_VEC + WG_SIZE - 1u) / WG_SIZE; // vectors of results that an invocation owns
const SHARERS: u32 = WG_SIZE / ROWS; // invocations that share the softmax of a row

var<workgroup> queries: array<vec4<f32>, ROWS * HEAD_VEC>;
var<workgroup> scores: array<f32, ROWS * WG_SIZE>; // of a tile; then probabilities up to the factor exp(largest)
var<workgroup> parts: array<f32, WG_SIZE>; // of what the sharers of a row reduce
var<workgroup> factors: array<f32, ROWS>; // by which the results of a row are scaled

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

fn attend(wg: vec3<u32>, lane: u32) {
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
    let keys = keys_of(mask_keys(0u, params.seq_q - 1u), wg.z);
    let end = keys.y;
    var acc: array<vec4<f32>, OWN>;
    var largest = LOWEST;
    var total = 0.0;
    var weighted = 0.0;
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
        for (var r = 0u; r < ROWS; r++) {
            let here = min(r, rows - 1u);
            let bias = mask_bias(place.b, place.kv_head * group + here % group, here / group, j);
            scores[r * WG_SIZE + lane] = select(score[r] + bias, LOWEST, bias <= MASKED || j0 + lane >= end);
        }
        workgroupBarrier();
        var new_max = largest;
        for (var n = 0u; n < ROWS; n++) {
            new_max = max(new_max, scores[first + n * SHARERS]);
        }
        new_max = row_max(new_max, lane, row);
        let shrink = exp(largest - new_max);
        largest = new_max;
        total *= shrink;
        weighted *= shrink;
        if (lane % SHARERS == 0u) {
            factors[row] = shrink;
        }
        for (var n = 0u; n < ROWS; n++) {
            let s = scores[first + n * SHARERS];
            let p = select(exp(s - new_max), 0.0, s <= MASKED);
            total += p;
            if (ENTROPY) {
                weighted += select(p * s, 0.0, s <= MASKED);
            }
            scores[first + n * SHARERS] = p;
        }
        workgroupBarrier();
        for (var own = 0u; own < OWN; own++) {
            let n = min(lane + own * WG_SIZE, ROWS * HEAD_VEC - 1u);
            var sum = acc[own] * factors[n / HEAD_VEC];
            for (var t = 0u; t < WG_SIZE; t++) {
                let at = kv_at(place.b, min(j0 + t, end - 1u), place.kv_head) + n % HEAD_VEC;
                sum += scores[n / HEAD_VEC * WG_SIZE + t] * widen4(v[at]);
            }
            acc[own] = sum;
        }
    }
    total = row_sum(total, lane, row);
    if (ENTROPY) {
        weighted = row_sum(weighted, lane, row);
    }
    // A row that sees no key gives 0 and the lowest lse.
    let seen = total > 0.0;
    let inverse = select(0.0, 1.0 / total, seen);
    workgroupBarrier();
    if (lane % SHARERS == 0u) {
        factors[row] = inverse;
        if (row < rows) {
            let lse = select(LOWEST, largest + log(total), seen);
            let at = row_at(out.b, place.kv_head * group + row % group, row / group);
            stats[at] = lse;
            if (ENTROPY) {
                let entropy = select(0.0, lse - weighted * inverse, seen);
                stats[second_plane() + at] = entropy;
            }
        }
    }
    workgroupBarrier();
    for (var own = 0u; own < OWN; own++) {
        let n = lane + own * WG_SIZE;
        if (n < rows * HEAD_VEC) {
            let r = n / HEAD_VEC;
            o[query_at(out, r) + n % HEAD_VEC] = narrow4(acc[own] * factors[r]);
        }
    }
}
