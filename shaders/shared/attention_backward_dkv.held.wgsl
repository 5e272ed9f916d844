// Few queries: a workgroup holds the HELD rows of all query heads that share a key head, with the gradients of their
// outputs, and each of its invocations owns one key.
var<workgroup> queries: array<vec4<f32>, HELD * HEAD_VEC>;
var<workgroup> upstream: array<vec4<f32>, HELD * HEAD_VEC>;

fn attend_backward(wg: vec3<u32>, lane: u32) {
    let group = params.heads / params.kv_heads;
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
        let key = widen4(k[k0 + d]);
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
    let rows = mask_rows(j, j) * group;
    let plane = params.batch * params.heads * params.seq_q;
    for (var r = 0u; r < HELD; r++) {
        let i = r / group;
        let h = place.kv_head * group + r % group;
        let at = row_at(place.b, h, i);
        let lse = stats[at];
        let bias = mask_bias(place.b, h, i, j);
        let log_p = p[r] * params.scale + bias - lse;
        let upon_p = ds[r] + map_grad(place.b, h, i, j, log_p) - stats[plane + at];
        let seen = j < end && r >= rows.x && r < rows.y && bias > MASKED && lse > MASKED;
        p[r] = select(0.0, exp(log_p), seen);
        ds[r] = select(0.0, p[r] * upon_p, seen) * params.scale;
    }
    let second = params.batch * params.seq_kv * params.kv_heads * HEAD_VEC;
    for (var d = 0u; d < params.head_vec; d++) {
        var dk = vec4<f32>();
        var dv = vec4<f32>();
        for (var r = 0u; r < HELD; r++) {
            dk += ds[r] * queries[r * HEAD_VEC + d];
            if (UPSTREAM) {
                dv += p[r] * upstream[r * HEAD_VEC + d];
            }
        }
        dkv[k0 + d] = narrow4(dk);
        dkv[second + k0 + d] = narrow4(dv);
    }
}
