// Few keys: a workgroup holds all HELD of a key head, and each of its invocations owns one row of the query heads that
// share it.
var<workgroup> keys: array<vec4<f32>, HELD * HEAD_VEC>;
var<workgroup> values: array<vec4<f32>, HELD * HEAD_VEC>;

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
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
        let query = widen4(q[q0 + d]) * params.scale;
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
    let range = mask_keys(place.b, i, i);
    let end = min(range.y, key_end(place.b));
    let at = row_at(place.b, h, i);
    let row_stats = stats_of(at);
    let delta = delta_of(at);
    var seen: array<bool, HELD>;
    for (var j = 0u; j < HELD; j++) {
        let bias = mask_bias(place.b, h, i, j);
        let log_p = log_probability(score[j] + bias, row_stats);
        let upon_p = ds[j] + map_grad(place.b, h, i, j, log_p) - delta;
        seen[j] = bias > MASKED && !is_empty(row_stats) && j >= range.x && j < end;
        ds[j] = exp_of(log_p) * upon_p * params.scale;
    }
    for (var d = 0u; d < params.head_vec; d++) {
        var sum = vec4<f32>();
        for (var j = 0u; j < HELD; j++) {
            // What a row does not see must not matter, whatever it holds.
            sum += select(vec4<f32>(), ds[j] * keys[j * HEAD_VEC + d], seen[j]);
        }
        dq[q0 + d] = narrow4(sum);
    }
}
