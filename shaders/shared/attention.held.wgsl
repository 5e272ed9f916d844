// Few keys: a workgroup holds all HELD of a key head, and each of its invocations owns one row of the query heads that
// share it. No tile stands mostly empty so, and no maximum runs.
var<workgroup> keys: array<vec4<f32>, HELD * HEAD_VEC>;
var<workgroup> values: array<vec4<f32>, HELD * HEAD_VEC>;

fn attend(wg: vec3<u32>, lane: u32) {
    let group = params.heads / params.kv_heads;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    for (var n = lane; n < HELD * HEAD_VEC; n += WG_SIZE) {
        let at = kv_at(place.b, n / HEAD_VEC, place.kv_head) + n % HEAD_VEC;
        keys[n] = widen4(k[at]) * params.scale;
        values[n] = widen4(v[at]);
    }
    workgroupBarrier();
    let row = wg.x * WG_SIZE + lane;
    if (row >= params.seq_q * group) {
        return;
    }
    let i = row / group;
    let h = place.kv_head * group + row % group;
    let q0 = query_at(place, row);
    var p: array<f32, HELD>; // scores first
    for (var d = 0u; d < params.head_vec; d++) {
        let query = widen4(q[q0 + d]);
        for (var j = 0u; j < HELD; j++) {
            p[j] += dot(query, keys[j * HEAD_VEC + d]);
        }
    }
    let range = keys_of(mask_keys(i, i), wg.z);
    var largest = LOWEST;
    for (var j = 0u; j < HELD; j++) {
        let bias = mask_bias(place.b, h, i, j);
        p[j] = select(p[j] + bias, LOWEST, bias <= MASKED || j < range.x || j >= range.y);
        largest = max(largest, p[j]);
    }
    var total = 0.0;
    var weighted = 0.0;
    for (var j = 0u; j < HELD; j++) {
        let s = p[j];
        p[j] = select(exp(s - largest), 0.0, s <= MASKED);
        total += p[j];
        if (ENTROPY) {
            weighted += select(p[j] * s, 0.0, s <= MASKED);
        }
    }
    // A row that sees no key gives 0 and the lowest lse.
    let seen = total > 0.0;
    let inverse = select(0.0, 1.0 / total, seen);
    let o0 = query_at(out, row);
    for (var d = 0u; d < params.head_vec; d++) {
        var sum = vec4<f32>();
        for (var j = 0u; j < HELD; j++) {
            sum += p[j] * values[j * HEAD_VEC + d];
        }
        o[o0 + d] = narrow4(sum * inverse);
    }
    let lse = select(LOWEST, largest + log(total), seen);
    let at = row_at(out.b, h, i);
    stats[at] = lse;
    if (ENTROPY) {
        stats[second_plane() + at] = select(0.0, lse - weighted * inverse, seen);
    }
}
