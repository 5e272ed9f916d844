// partials[b, c] = Σ (s_c x[i])² over those i in b·BLOCK .. (b + 1)·BLOCK whose x[i] is small (c = 0), in the middle (1) or
// large (2): squares of the small would vanish, and those of the large overflow.
//
// One workgroup sums one block, in an order that does not depend on timing. The host adds the partials in f64.
struct Params {
    count: u32,
    blocks: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // (n)
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // (blocks, 3)

const SMALL: f32 = 0x1p-50;
const LARGE: f32 = 0x1p52;

@compute @workgroup_size(WG_SIZE)
fn sum_of_squares(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let block = number_of(workgroup);
    // The rounded-up grid has workgroups past the last block: they sum nothing.
    let first = min(block, params.blocks) * BLOCK;
    var sums = vec3<f32>();
    for (var i = lane; i < BLOCK; i += WG_SIZE) {
        if (first + i < params.count) {
            let v = x[first + i];
            // What compares with nothing belongs to the middle.
            let small = abs(v) < SMALL;
            let large = abs(v) > LARGE;
            let up = select(0.0, v * 0x1p100, small);
            let down = select(0.0, v * 0x1p-76, large);
            let plain = select(v, 0.0, small || large);
            sums += vec3<f32>(up * up, plain * plain, down * down);
        }
    }
    for (var c = 0u; c < 3u; c++) {
        let sum = reduce_sum(sums[c], lane);
        if (lane == 0u && block < params.blocks) {
            partials[block * 3u + c] = sum;
        }
    }
}
