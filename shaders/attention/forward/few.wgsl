// A workgroup owns all rows of a key head, at most ROWS: those of all query heads that share it. Its invocations divide
// the keys of a tile among them, one each, and then the vectors of the results, so that all of them have work however
// few the queries are.
alias Rows = f32;

const OWN: u32 = (ROWS * HEAD_VEC + WG_SIZE - 1u) / WG_SIZE; // vectors of results that an invocation owns
const SHARERS: u32 = WG_SIZE / ROWS; // invocations that share the softmax of a row
// Tiles of which one sum is taken, where there are many, LONG.
const BLOCK_TILES: u32 = 16u;

var<workgroup> queries: array<vec4<f32>, ROWS * HEAD_VEC>;
var<workgroup> scores: array<f32, ROWS * WG_SIZE>; // of a tile; then probabilities up to the factor exp(largest)
var<workgroup> shares: array<f32, WG_SIZE>; // of what the sharers of a row reduce
var<workgroup> factors: array<f32, ROWS>; // by which the results of a row are scaled
var<workgroup> seen: array<u32, WG_SIZE>; // of a tile's keys, a bit for each row that sees it

fn is_seen(row: u32, t: u32) -> bool {
    return (seen[t] & (1u << row)) != 0u;
}

fn row_max(value: f32, lane: u32, row: u32) -> f32 {
    shares[lane] = value;
    workgroupBarrier();
    var result = value;
    for (var s = 0u; s < SHARERS; s++) {
        result = max(result, shares[row * SHARERS + s]);
    }
    return result;
}

fn row_sum(value: f32, lane: u32, row: u32) -> f32 {
    workgroupBarrier();
    shares[lane] = value;
    workgroupBarrier();
    var result = 0.0;
    for (var s = 0u; s < SHARERS; s++) {
        result += shares[row * SHARERS + s];
    }
    return result;
}

fn attend(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let group = GROUP;
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
    var sums: Sums;
    var sums_before: Sums; // of earlier blocks
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
        let fall = fall_of(largest, new_max);
        largest = new_max;
        sums = fallen(sums, fall);
        if (LONG) {
            sums_before = fallen(sums_before, fall);
        }
        if (lane % SHARERS == 0u) {
            factors[row] = exp(fall);
        }
        for (var n = 0u; n < ROWS; n++) {
            let away = scores[first + n * SHARERS] - new_max;
            let present = is_seen(row, lane % SHARERS + n * SHARERS);
            let p = select(0.0, exp_of(away), present);
            sums.total += p;
            if (ENTROPY) {
                sums.weighted += p * select(0.0, max(away, -200.0), present);
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
            sums_before = together(sums_before, sums);
            sums = Sums();
            for (var own = 0u; own < OWN; own++) {
                acc_before[own] += acc[own];
                acc[own] = vec4<f32>();
            }
        }
    }
    sums = together(sums_before, sums);
    let total = row_sum(sums.total, lane, row);
    var weighted = 0.0;
    if (ENTROPY) {
        weighted = row_sum(sums.weighted, lane, row);
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
