// Products by cooperative matrices. Each of WAVES subgroups owns MATRIX rows, those of all query heads that share a key
// head, and all of them pass over the keys together, TILE at a time, staged in workgroup memory.
//
// A matrix of results cannot be scaled row by row, so the softmax's state stays outside: probabilities are taken
// relative to a reference of each row, and only where a row's maximum has outgrown its reference by SLACK do results go
// through workgroup memory to be scaled. Until then probabilities are up to exp(SLACK), which f16 holds.
const TILE: u32 = 2u * MATRIX;
const PARTS: u32 = HEAD_DIM / MATRIX; // matrices along a head
const SLACK: f32 = 8.0;
// Rows in workgroup memory are a little longer than their contents, so that a column is not in one bank.
const KEY_STRIDE: u32 = HEAD_DIM + 8u;
const QUERY_STRIDE: u32 = MATRIX + 8u;
const SCORE_STRIDE: u32 = TILE + 4u;
const WEIGHT_STRIDE: u32 = TILE + 8u;
const LANES: u32 = WG_SIZE / WAVES;
// Invocations that share a row, and keys of a tile that each of them has.
const SHARERS: u32 = LANES / MATRIX;
const SHARE: u32 = TILE / SHARERS;

// Keys or values of a tile, (TILE, KEY_STRIDE); queries before, (WAVES · MATRIX, QUERY_STRIDE).
var<workgroup> staged: array<f16, max(TILE * KEY_STRIDE, WAVES * MATRIX * QUERY_STRIDE)>;
var<workgroup> scores: array<f32, WAVES * MATRIX * SCORE_STRIDE>;
var<workgroup> weights: array<f16, WAVES * MATRIX * WEIGHT_STRIDE>;
var<workgroup> outgrown: atomic<u32>;
var<workgroup> scale_now: u32;

fn stage(at: u32, value: Elem4) {
    staged[at] = value.x;
    staged[at + 1u] = value.y;
    staged[at + 2u] = value.z;
    staged[at + 3u] = value.w;
}

fn attend(wg: vec3<u32>, lane: u32) {
    let wave = lane / LANES;
    let own = (lane % LANES) % MATRIX; // row of the wave whose softmax this invocation shares
    let part = (lane % LANES) / MATRIX;
    let group = params.heads / params.kv_heads;
    let place = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row0 = (wg.x + params.first_workgroup) * MATRIX * WAVES;
    let last_row = min(row0 + MATRIX * WAVES, rows) - 1u;
    let row = min(row0 + wave * MATRIX + own, last_row);
    let h = place.kv_head * group + row % group;
    let keys = mask_keys(row0 / group, last_row / group);
    let end = min(keys.y, key_end(place.b));
    // Queries go through workgroup memory into registers, one matrix of each row at a time.
    var query: array<Left, PARTS>;
    for (var d = 0u; d < PARTS; d++) {
        workgroupBarrier();
        for (var n = lane; n < WAVES * MATRIX * (MATRIX / 4u); n += WG_SIZE) {
            let r = n / (MATRIX / 4u);
            let c = n % (MATRIX / 4u);
            let at = query_at(place, min(row0 + r, last_row)) + d * (MATRIX / 4u) + c;
            stage(r * QUERY_STRIDE + c * 4u, q[at]);
        }
        workgroupBarrier();
        query[d] = coopLoadT<Left>(&staged[wave * MATRIX * QUERY_STRIDE], QUERY_STRIDE);
    }
    let score_at = wave * MATRIX * SCORE_STRIDE;
    let weight_at = wave * MATRIX * WEIGHT_STRIDE;
    var acc: array<Sum, PARTS>;
    var reference = LOWEST;
    var total = 0.0;
    var weighted = 0.0;
    for (var j0 = keys.x; j0 < end; j0 += TILE) {
        if (mask_hides(row0 / group, last_row / group, j0, min(j0 + TILE, end) - 1u)) {
            continue;
        }
        workgroupBarrier();
        for (var n = lane; n < TILE * HEAD_VEC; n += WG_SIZE) {
            let at = kv_at(place.b, min(j0 + n / HEAD_VEC, end - 1u), place.kv_head);
            stage((n / HEAD_VEC) * KEY_STRIDE + (n % HEAD_VEC) * 4u, k[at + n % HEAD_VEC]);
        }
        if (lane == 0u) {
            atomicStore(&outgrown, 0u);
        }
        workgroupBarrier();
        for (var c = 0u; c < 2u; c++) {
            var product = Sum();
            for (var d = 0u; d < PARTS; d++) {
                let key = coopLoad<Right>(&staged[c * MATRIX * KEY_STRIDE + d * MATRIX], KEY_STRIDE);
                product = coopMultiplyAdd(query[d], key, product);
            }
            coopStoreT(product, &scores[score_at + c * MATRIX], SCORE_STRIDE);
        }
        workgroupBarrier();
        // Values take the place of the keys while the softmax is at work.
        for (var n = lane; n < TILE * HEAD_VEC; n += WG_SIZE) {
            let at = kv_at(place.b, min(j0 + n / HEAD_VEC, end - 1u), place.kv_head);
            stage((n / HEAD_VEC) * KEY_STRIDE + (n % HEAD_VEC) * 4u, v[at + n % HEAD_VEC]);
        }
        var score: array<f32, SHARE>;
        for (var t = 0u; t < SHARE; t++) {
            let at = part * SHARE + t;
            let j = j0 + at;
            let bias = mask_bias(place.b, h, row / group, min(j, end - 1u));
            let s = scores[score_at + own * SCORE_STRIDE + at] * params.scale + bias;
            score[t] = select(s, LOWEST, bias <= MASKED || j >= end);
        }
        workgroupBarrier();
        // The invocations of a row have to agree on its maximum.
        var largest = LOWEST;
        for (var t = 0u; t < SHARE; t++) {
            largest = max(largest, score[t]);
        }
        scores[score_at + own * SCORE_STRIDE + part] = largest;
        workgroupBarrier();
        for (var p = 0u; p < SHARERS; p++) {
            largest = max(largest, scores[score_at + own * SCORE_STRIDE + p]);
        }
        if (largest > reference + SLACK || (reference <= MASKED && largest > MASKED)) {
            atomicMax(&outgrown, 1u);
        }
        workgroupBarrier();
        if (lane == 0u) {
            scale_now = atomicLoad(&outgrown);
        }
        if (workgroupUniformLoad(&scale_now) == 1u) {
            let renewed = max(reference, largest);
            let shrink = exp(reference - renewed);
            reference = renewed;
            total *= shrink;
            weighted *= shrink;
            for (var d = 0u; d < PARTS; d++) {
                workgroupBarrier();
                coopStoreT(acc[d], &scores[score_at], SCORE_STRIDE);
                workgroupBarrier();
                for (var t = part; t < MATRIX; t += SHARERS) {
                    scores[score_at + own * SCORE_STRIDE + t] *= shrink;
                }
                workgroupBarrier();
                acc[d] = coopLoadT<Sum>(&scores[score_at], SCORE_STRIDE);
            }
        }
        for (var t = 0u; t < SHARE; t++) {
            let s = score[t];
            let p = select(exp(s - reference), 0.0, s <= MASKED);
            total += p;
            if (ENTROPY) {
                weighted += select(p * s, 0.0, s <= MASKED);
            }
            weights[weight_at + own * WEIGHT_STRIDE + part * SHARE + t] = f16(p);
        }
        workgroupBarrier();
        for (var c = 0u; c < 2u; c++) {
            let weight = coopLoadT<Left>(&weights[weight_at + c * MATRIX], WEIGHT_STRIDE);
            for (var d = 0u; d < PARTS; d++) {
                let value = coopLoadT<Right>(&staged[c * MATRIX * KEY_STRIDE + d * MATRIX], KEY_STRIDE);
                acc[d] = coopMultiplyAdd(weight, value, acc[d]);
            }
        }
    }
    // Sums of a row over the invocations that share it.
    workgroupBarrier();
    scores[score_at + own * SCORE_STRIDE + part] = total;
    workgroupBarrier();
    total = 0.0;
    for (var p = 0u; p < SHARERS; p++) {
        total += scores[score_at + own * SCORE_STRIDE + p];
    }
    if (ENTROPY) {
        workgroupBarrier();
        scores[score_at + own * SCORE_STRIDE + part] = weighted;
        workgroupBarrier();
        weighted = 0.0;
        for (var p = 0u; p < SHARERS; p++) {
            weighted += scores[score_at + own * SCORE_STRIDE + p];
        }
    }
    // A row that sees no key gives 0 and the lowest lse.
    let seen = total > 0.0;
    let inverse = select(0.0, 1.0 / total, seen);
    let there = row0 + wave * MATRIX + own < rows;
    let q0 = query_at(place, row);
    for (var d = 0u; d < PARTS; d++) {
        workgroupBarrier();
        coopStoreT(acc[d], &scores[score_at], SCORE_STRIDE);
        workgroupBarrier();
        for (var t = part; t < MATRIX / 4u; t += SHARERS) {
            let at = score_at + own * SCORE_STRIDE + t * 4u;
            let value = vec4<f32>(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]);
            if (there) {
                o[q0 + d * (MATRIX / 4u) + t] = narrow4(value * inverse);
            }
        }
    }
    if (there && part == 0u) {
        let lse = select(LOWEST, reference + log(total), seen);
        let at = row_at(place.b, h, row / group);
        stats[at] = lse;
        if (ENTROPY) {
            let entropy = select(0.0, lse - weighted * inverse, seen);
            stats[params.batch * params.heads * params.seq_q + at] = entropy;
        }
    }
}
