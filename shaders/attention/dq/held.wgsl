// Few keys, which a workgroup holds.
fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let group = GROUP;
    let place = Place(wg.z, wg.y, group);
    hold_keys(place, 1.0, lane);
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
        let present = j >= range.x && j < end;
        let entry = entry_of(place.b, h, i, j, score[j], ds[j], row_stats, delta, present);
        seen[j] = entry.seen;
        ds[j] = entry.ds;
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
