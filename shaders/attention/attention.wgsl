// o = softmax(scale · q kᵀ + mask) v, with lse = ln Σ exp(scores) and the row entropy H = lse - Σ p · score.
//
// How a workgroup shares the work, `attend`, is a module.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(3) var<storage, read> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // (1 or 2, batch, heads, seq_q): lse, entropy

@compute @workgroup_size(WG_SIZE)
fn attention(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    attend(of_whole(wg), lane);
}
