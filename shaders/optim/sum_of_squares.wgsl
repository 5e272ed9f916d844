// partials[b] = Σ x[i]² over i in b·BLOCK .. (b + 1)·BLOCK
//
// One workgroup sums one block, in an order that does not depend on timing. The host adds the partials in f64.
struct Params {
    count: u32,
    blocks: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // (n)
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // (blocks)

@compute @workgroup_size(WG_SIZE)
fn sum_of_squares(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>,
) {
    let block = wg.y * groups.x + wg.x;
    // The rounded-up grid has workgroups past the last block: they sum nothing.
    let first = min(block, params.blocks) * BLOCK;
    var sum = 0.0;
    for (var i = lid.x; i < BLOCK; i += WG_SIZE) {
        if (first + i < params.count) {
            sum += x[first + i] * x[first + i];
        }
    }
    sum = reduce_sum(sum, lid.x);
    if (lid.x == 0u && block < params.blocks) {
        partials[block] = sum;
    }
}
