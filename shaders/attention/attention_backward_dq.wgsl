// dq = scale · Σ_j ds k,  ds = p · (dp - delta),  dp = do · v + map_grad,  p = exp(score - largest - log_total).
//
// How a workgroup shares the work, `attend_backward`, is a module.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(3) var<storage, read> d_o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(4) var<storage, read> stats: array<f32>; // (3, batch, heads, seq_q): largest, log total, delta
@group(0) @binding(5) var<storage, read> tables: array<f32>;
@group(0) @binding(6) var<storage, read> map_grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<Elem4>; // (batch, seq_q, heads, head_dim)

// Strays among the keys from keys.x to keys.y that a row sees, in vector d of its gradient.
fn seen_strays(b: u32, h: u32, i: u32, kv_head: u32, d: u32, keys: vec2<u32>) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var j = keys.x; j < keys.y; j++) {
        if (sees(b, h, i, j)) {
            sum += strays_of(widen4(k[kv_at(b, j, kv_head) + d]));
        }
    }
    return sum;
}

@compute @workgroup_size(WG_SIZE)
fn attention_backward_dq(@builtin(workgroup_id) wg: vec3<u32>, invocation: Invocation) {
    attend_backward(of_whole(wg), invocation);
}
