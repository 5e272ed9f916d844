// What the backward kernels read, and the gradient by a score.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(3) var<storage, read> d_o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(4) var<storage, read> stats: array<f32>; // (3, batch, heads, seq_q): largest, log total, delta
@group(0) @binding(5) var<storage, read> tables: array<f32>;
@group(0) @binding(6) var<storage, read> map_grads: array<f32>;

// What `attention_backward_delta` left of a row beside its statistics.
fn delta_of(at: u32) -> f32 {
    return stats[2u * plane_of(1u) + at];
}

// An entry of the attention map: its probability, and the gradient by its score; both are 0 where it is not seen.
struct Entry {
    p: f32,
    ds: f32,
    seen: bool,
}

// Of key j for query i of head h, with its score without bias, the gradient by its probability that comes from the output, and
// what is known of the row.
fn entry_of(b: u32, h: u32, i: u32, j: u32, score: f32, dp: f32, row: RowStats, delta: f32, present: bool) -> Entry {
    let bias = mask_bias(b, h, i, j);
    let log_p = log_probability(score + bias, row);
    let upon_p = dp + map_grad(b, h, i, j, log_p) - delta;
    let seen = bias > MASKED && !is_empty(row) && present;
    let p = exp_of(log_p);
    return Entry(select(0.0, p, seen), select(0.0, p * upon_p, seen) * params.scale, seen);
}
