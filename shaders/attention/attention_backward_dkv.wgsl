// dv = Σ_i p do,  dk = scale · Σ_i ds q,  ds = p · (do · v + map_grad - delta),  summed over the query heads of a group.
//
// One invocation owns one key of one key head and passes over the rows that may see it.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(3) var<storage, read> d_o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(4) var<storage, read> stats: array<f32>; // (2, batch, heads, seq_q): lse, delta
@group(0) @binding(5) var<storage, read> tables: array<f32>;
@group(0) @binding(6) var<storage, read> map_grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> dkv: array<Elem4>; // (2, batch, seq_kv, kv_heads, head_dim): dk, dv

@compute @workgroup_size(WG_SIZE)
fn attention_backward_dkv(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let first = (wg.x + params.first_workgroup) * WG_SIZE;
    let column = first + lid.x;
    let j = min(column, params.seq_kv - 1u);
    let kv_head = wg.y;
    let b = wg.z;
    let k0 = kv_at(b, j, kv_head);
    let present = j < key_end(b);
    var key: array<vec4<f32>, HEAD_VEC>;
    var value: array<vec4<f32>, HEAD_VEC>;
    var dk: array<vec4<f32>, HEAD_VEC>;
    var dv: array<vec4<f32>, HEAD_VEC>;
    for (var d = 0u; d < HEAD_VEC; d++) {
        key[d] = widen4(k[k0 + d]) * params.scale;
        value[d] = widen4(v[k0 + d]);
    }
    let rows = mask_rows(first, min(first + WG_SIZE, params.seq_kv) - 1u);
    let group_size = params.heads / params.kv_heads;
    for (var h = kv_head * group_size; h < (kv_head + 1u) * group_size; h++) {
        for (var i = rows.x; i < rows.y; i++) {
            let q0 = q_at(b, i, h);
            let at = row_at(b, h, i);
            let lse = stats[at];
            let delta = stats[params.batch * params.heads * params.seq_q + at];
            var s = 0.0;
            var dp = 0.0;
            for (var d = 0u; d < HEAD_VEC; d++) {
                s += dot(widen4(q[q0 + d]), key[d]);
                if (UPSTREAM) {
                    dp += dot(widen4(d_o[q0 + d]), value[d]);
                }
            }
            let bias = mask_bias(b, h, i, j);
            let log_p = s + bias - lse;
            dp += map_grad(b, h, i, j, log_p);
            let seen = present && bias > MASKED && lse > MASKED;
            let p = select(0.0, exp(log_p), seen);
            let ds = select(0.0, p * (dp - delta), seen) * params.scale;
            for (var d = 0u; d < HEAD_VEC; d++) {
                dk[d] += ds * widen4(q[q0 + d]);
                if (UPSTREAM) {
                    dv[d] += p * widen4(d_o[q0 + d]);
                }
            }
        }
    }
    if (column < params.seq_kv) {
        let plane = params.batch * params.seq_kv * params.kv_heads * HEAD_VEC;
        for (var d = 0u; d < HEAD_VEC; d++) {
            dkv[k0 + d] = narrow4(dk[d]);
            dkv[plane + k0 + d] = narrow4(dv[d]);
        }
    }
}
