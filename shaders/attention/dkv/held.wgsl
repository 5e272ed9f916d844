// Few queries: a workgroup holds the HELD rows of all query heads that share a key head, with the gradients of their
// outputs, and each of its invocations owns one key.
var<workgroup> queries: array<vec4<f32>, HELD * HEAD_VEC>;
var<workgroup> upstream: array<vec4<f32>, HELD * HEAD_VEC>;

fn attend_backward(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let group = GROUP;
    let place = Place(wg.z, wg.y, group);
    for (var n = lane; n < HELD * HEAD_VEC; n += WG_SIZE) {
        let at = query_at(place, n / HEAD_VEC) + n % HEAD_VEC;
        queries[n] = widen4(q[at]);
        if (UPSTREAM) {
            upstream[n] = widen4(d_o[at]);
        }
    }
    workgroupBarrier();
    let j = wg.x * WG_SIZE + lane;
    if (j >= params.seq_kv) {
        return;
    }
    let k0 = kv_at(place.b, j, place.kv_head);
    var p: array<f32, HELD>; // scores first
    var ds: array<f32, HELD>; // gradients upon p first
    for (var d = 0u; d < params.head_vec; d++) {
        let key = widen4(k[k0 + d]) * params.scale;
        for (var r = 0u; r < HELD; r++) {
            p[r] += dot(key, queries[r * HEAD_VEC + d]);
        }
        if (UPSTREAM) {
            let value = widen4(v[k0 + d]);
            for (var r = 0u; r < HELD; r++) {
                ds[r] += dot(value, upstream[r * HEAD_VEC + d]);
            }
        }
    }
    let end = key_end(place.b);
    let rows = mask_rows(place.b, j, j) * group;
    var seen: array<bool, HELD>;
    for (var r = 0u; r < HELD; r++) {
        let i = r / group;
        let h = place.kv_head * group + r % group;
        let at = row_at(place.b, h, i);
        let present = j < end && r >= rows.x && r < rows.y;
        let entry = entry_of(place.b, h, i, j, p[r], ds[r], stats_of(at), delta_of(at), present);
        seen[r] = entry.seen;
        p[r] = entry.p;
        ds[r] = entry.ds;
    }
    for (var d = 0u; d < params.head_vec; d++) {
        var dk = vec4<f32>();
        var dv = vec4<f32>();
        for (var r = 0u; r < HELD; r++) {
            // What does not see the key must not matter, whatever it holds.
            dk += select(vec4<f32>(), ds[r] * queries[r * HEAD_VEC + d], seen[r]);
            if (UPSTREAM) {
                dv += select(vec4<f32>(), p[r] * upstream[r * HEAD_VEC + d], seen[r]);
            }
        }
        store_gradients(place, j, d, dk, dv, NO_STRAYS);
    }
}
