// Attention over two sets of keys from attention over each: as `attention_join`, of results in buffers of their own.
struct Params {
    batch: u32,
    heads: u32,
    seq_q: u32,
    first_workgroup_x: u32, // of a dispatch that is one of several
    first_workgroup_y: u32,
    first_workgroup_z: u32,
}

@group(0) @binding(0) var<storage, read> o_a: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> stats_a: array<f32>; // (2 or 3, batch, heads, seq_q): largest, log total, entropy
@group(0) @binding(2) var<storage, read> o_b: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(3) var<storage, read> stats_b: array<f32>; // (2 or 3, batch, heads, seq_q): largest, log total, entropy
@group(0) @binding(4) var<storage, read_write> o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // (2 or 3, batch, heads, seq_q): largest, log total, entropy

@compute @workgroup_size(WG_SIZE)
fn attention_merge(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = item_of(of_whole(workgroup), lane);
    if (!item.there) {
        return;
    }
    let at = item.row;
    let a = RowStats(stats_a[at], stats_a[plane() + at]);
    let b = RowStats(stats_b[at], stats_b[plane() + at]);
    var joined = Joined(max(a.largest, b.largest), 0.0, 0.0, vec4<f32>());
    var entropies = vec2<f32>();
    if (ENTROPY) {
        entropies = vec2<f32>(stats_a[2u * plane() + at], stats_b[2u * plane() + at]);
    }
    joined = with_set(joined, a, entropies.x, widen4(o_a[item.vector]));
    joined = with_set(joined, b, entropies.y, widen4(o_b[item.vector]));
    store_joined(item, joined);
}
