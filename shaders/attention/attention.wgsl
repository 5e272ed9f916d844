// o = softmax(scale · q kᵀ + mask) v, with the largest score and ln Σ exp(score - largest) of each row, and the row entropy
// H = -Σ p ln p.
//
// How a workgroup shares the work, `attend`, is a module.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(3) var<storage, read> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // (2 or 3, batch, heads, seq_q): largest, log total, entropy

// Stores the statistics of the row at `at` from Σ exp(score - largest) and Σ exp(score - largest) (score - largest), and
// returns by what its sum of values is multiplied. A row that sees no key gives 0, and so does one whose scores are all -∞.
fn store_row(at: u32, largest: f32, total: f32, weighted: f32) -> f32 {
    let empty = total == 0.0;
    let inverse = select(1.0 / total, 0.0, empty);
    let log_total = log_of(total);
    let plane = plane_of(params.parts);
    stats[at] = largest_to_store(largest, total);
    stats[plane + at] = select(log_total, 0.0, empty);
    if (ENTROPY) {
        stats[2u * plane + at] = select(log_total - weighted * inverse, 0.0, empty);
    }
    return inverse;
}

// What results are sums of.
fn of_keys(at: u32) -> vec4<f32> {
    return widen4(v[at]);
}

@compute @workgroup_size(WG_SIZE)
fn attention(@builtin(workgroup_id) wg: vec3<u32>, invocation: Invocation) {
    attend(of_whole(wg), invocation);
}
