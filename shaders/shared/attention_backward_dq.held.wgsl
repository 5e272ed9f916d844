// Few keys: a workgroup holds all HELD of a key head, and each of its invocations owns one row of the query heads that
// share it.
var<workgroup> keys: array<vec4<f32>, HELD * HEAD_VEC>;
var<workgroup> values: array<vec4<f32>, HELD * HEAD_VEC>;

fn attend_backward(wg: vec3<u32>, lane: u32) {
    let group = params.heads / params.kv_heads;
    let place = Place(wg.z, wg.y, group);
    for (var n = lane; n < HELD * HEAD_VEC; n += WG_SIZE) {
        let at = kv_at(place.b, n / HEAD_VEC, place.kv_head) + n % HEAD_VEC;
        keys[n] = widen4(k[at]);
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
    var score: array<f32, HELD>;
    var ds: array<f32, HELD>; // gradients upon p first
    for (var d = 0u; d < params.head_vec; d++) {
        let query = widen4(q[q0 + d]);
        for (var j = 0u; j < HELD; j++) {
            score[j] += dot(query, keys[j * HEAD_VEC + d]);
        }
        if (UPSTREAM) {
            let upstream = widen4(d_o[q0 + d]);
            for (var j = 0u; j < HELD; j++) {
                ds[j] += dot(upstream, values[j * HEAD_VEC + d]);
            }
        }
    }
    let range = mask_keys(i, i);
    let end = min(range.y, key_end(place.b));
    let at = row_at(place.b, h, i);
    let lse = stats[at];
    let delta = stats[params.batch * params.heads * params.seq_q + at];
    for (var j = 0u; j < HELD; j++) {
        let bias = mask_bias(place.b, h, i, j);
        let log_p = score[j] * params.scale + bias - lse;
        let upon_p = ds[j] + map_grad(place.b, h, i, j, log_p) - delta;
        let seen = bias > MASKED && lse > MASKED && j >= range.x && j < end;
        ds[j] = select(0.0, exp(log_p) * upon_p, seen) * params.scale;
    }
    for (var d = 0u; d < params.head_vec; d++) {
        var sum = vec4<f32>();
        for (var j = 0u; j < HELD; j++) {
            sum += ds[j] * keys[j * HEAD_VEC + d];
        }
        dq[q0 + d] = narrow4(sum);
    }
}
