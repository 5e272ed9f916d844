// The weight is (n, k), one row an output, as a Linear layer stores it; four inputs of an output at a time.
@group(0) @binding(1) var<storage, read> w: array<Weight4>; // (n, k)

alias Block = mat4x4<f32>;

// Where vector `e` of a tile lies: inputs 4i.. of output e of the tile.
fn weight_at(i: u32, pack0: u32, e: u32) -> u32 {
    return min(pack0 * PACK + e, params.n - 1u) * (params.k / PACK) + i;
}

// A column of the block is four weights of one output.
fn product(x: Pack, block: Block) -> Pack {
    return x * block;
}
