// Attention over all keys from attention over each part of them. With a row's share w of a part, w = total_part / total of
// e^largest_part total_part:  o = Σ w o_part,  H = Σ w (H_part - ln w).
struct Params {
    parts: u32,
    batch: u32,
    heads: u32,
    seq_q: u32,
    first_workgroup_x: u32, // of a dispatch that is one of several
    first_workgroup_y: u32,
    first_workgroup_z: u32,
}

// Parts of which one sum is taken.
const BLOCK_PARTS: u32 = 128u;

@group(0) @binding(0) var<storage, read> o_parts: array<Elem4>; // (parts, batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> stats_parts: array<f32>; // (2 or 3, parts, batch, heads, seq_q): largest, log total, entropy
@group(0) @binding(2) var<storage, read_write> o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(3) var<storage, read_write> stats: array<f32>; // (2 or 3, batch, heads, seq_q): largest, log total, entropy

@compute @workgroup_size(WG_SIZE)
fn attention_join(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = item_of(of_whole(workgroup), lane);
    if (!item.there) {
        return;
    }
    let at = item.row;
    let planes = params.parts * plane();
    var joined = Joined(LOWEST, 0.0, 0.0, vec4<f32>());
    for (var part = 0u; part < params.parts; part++) {
        joined.largest = max(joined.largest, stats_parts[part * plane() + at]);
    }
    for (var first = 0u; first < params.parts; first += BLOCK_PARTS) {
        var block = Joined(joined.largest, 0.0, 0.0, vec4<f32>());
        for (var part = first; part < min(first + BLOCK_PARTS, params.parts); part++) {
            let base = part * plane() + at;
            var entropy = 0.0;
            if (ENTROPY) {
                entropy = stats_parts[2u * planes + base];
            }
            let row = RowStats(stats_parts[base], stats_parts[planes + base]);
            block = with_set(block, row, entropy, widen4(o_parts[part * plane() * HEAD_VEC + item.vector]));
        }
        joined.total += block.total;
        joined.mean += block.mean;
        joined.sum += block.sum;
    }
    store_joined(item, joined);
}
