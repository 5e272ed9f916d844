// dq = scale · Σ_j ds k,  ds = p · (dp - delta),  dp = do · v + map_grad,  p = exp(score - largest - log_total).
//
// How a workgroup shares the work, `attend_backward`, is a module.
@group(0) @binding(7) var<storage, read_write> dq: array<Elem4>; // (batch, seq_q, heads, head_dim)

// What results are sums of.
fn of_keys(at: u32) -> vec4<f32> {
    return widen4(k[at]);
}

@compute @workgroup_size(WG_SIZE)
fn attention_backward_dq(@builtin(workgroup_id) wg: vec3<u32>, invocation: Invocation) {
    attend_backward(of_whole(wg), invocation);
}
