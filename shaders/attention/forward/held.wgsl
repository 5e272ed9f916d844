// Few keys, which a workgroup holds: no maximum runs.
alias Rows = f32;

fn attend(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let group = GROUP;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    hold_keys(place, params.scale, lane);
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
    let range = keys_of(i, i, wg.z);
    var seen: array<bool, HELD>;
    var largest = LOWEST;
    for (var j = 0u; j < HELD; j++) {
        let bias = mask_bias(place.b, h, i, j);
        seen[j] = bias > MASKED && j >= range.x && j < range.y;
        p[j] += select(0.0, bias, seen[j]);
        largest = max(largest, select(LOWEST, p[j], seen[j]));
    }
    var sums: Sums;
    for (var j = 0u; j < HELD; j++) {
        let away = p[j] - largest;
        p[j] = select(0.0, exp_of(away), seen[j]);
        sums.total += p[j];
        if (ENTROPY) {
            sums.weighted += p[j] * select(0.0, max(away, -200.0), seen[j]);
        }
    }
    let inverse = store_row(row_at(out.b, h, i), largest, sums.total, sums.weighted);
    let o0 = query_at(out, row);
    for (var d = 0u; d < params.head_vec; d++) {
        var sum = vec4<f32>();
        for (var j = 0u; j < HELD; j++) {
            // What a row does not see must not matter, whatever it holds.
            sum += select(vec4<f32>(), p[j] * values[j * HEAD_VEC + d], seen[j]);
        }
        o[o0 + d] = narrow4(sum * inverse);
    }
}
