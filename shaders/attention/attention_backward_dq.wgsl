// dq = scale · Σ_j ds k,  ds = p · (dp - delta),  dp = do · v + map_grad,  p = exp(score - lse).
//
// One invocation owns one query row of one head, as in the forward.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(3) var<storage, read> d_o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(4) var<storage, read> stats: array<f32>; // (2, batch, heads, seq_q): lse, delta
@group(0) @binding(5) var<storage, read> tables: array<f32>;
@group(0) @binding(6) var<storage, read> map_grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<Elem4>; // (batch, seq_q, heads, head_dim)

@compute @workgroup_size(WG_SIZE)
fn attention_backward_dq(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let first = (wg.x + params.first_workgroup) * WG_SIZE;
    let row = first + lid.x;
    let i = min(row, params.seq_q - 1u);
    let h = wg.y;
    let b = wg.z;
    let kv_head = h / (params.heads / params.kv_heads);
    let q0 = q_at(b, i, h);
    let at = row_at(b, h, i);
    let lse = stats[at];
    let delta = stats[params.batch * params.heads * params.seq_q + at];
    var query: array<vec4<f32>, HEAD_VEC>;
    var upstream: array<vec4<f32>, HEAD_VEC>;
    var acc: array<vec4<f32>, HEAD_VEC>;
    for (var d = 0u; d < HEAD_VEC; d++) {
        query[d] = widen4(q[q0 + d]) * params.scale;
        if (UPSTREAM) {
            upstream[d] = widen4(d_o[q0 + d]);
        }
    }
    let keys = mask_keys(first, min(first + WG_SIZE, params.seq_q) - 1u);
    let end = min(keys.y, key_end(b));
    for (var j = keys.x; j < end; j++) {
        let k0 = kv_at(b, j, kv_head);
        var s = 0.0;
        var dp = 0.0;
        for (var d = 0u; d < HEAD_VEC; d++) {
            s += dot(query[d], widen4(k[k0 + d]));
            if (UPSTREAM) {
                dp += dot(upstream[d], widen4(v[k0 + d]));
            }
        }
        let bias = mask_bias(b, h, i, j);
        let log_p = s + bias - lse;
        dp += map_grad(b, h, i, j, log_p);
        let seen = bias > MASKED && lse > MASKED;
        let ds = select(0.0, exp(log_p) * (dp - delta), seen) * params.scale;
        for (var d = 0u; d < HEAD_VEC; d++) {
            acc[d] += ds * widen4(k[k0 + d]);
        }
    }
    if (row < params.seq_q) {
        for (var d = 0u; d < HEAD_VEC; d++) {
            dq[q0 + d] = narrow4(acc[d]);
        }
    }
}
