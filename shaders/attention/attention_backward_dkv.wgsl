// dv = Σ_i p do,  dk = scale · Σ_i ds q,  ds = p · (do · v + map_grad - delta),  summed over the query heads of a group.
//
// How a workgroup shares the work, `attend_backward`, is a module.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(3) var<storage, read> d_o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(4) var<storage, read> stats: array<f32>; // (2, batch, heads, seq_q): lse, delta
@group(0) @binding(5) var<storage, read> tables: array<f32>;
@group(0) @binding(6) var<storage, read> map_grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> dkv: array<Elem4>; // (2, batch, seq_kv, kv_heads, head_dim): dk, dv

@compute @workgroup_size(WG_SIZE)
fn attention_backward_dkv(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    attend_backward(of_whole(wg), lane);
}
