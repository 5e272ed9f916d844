// The weight is (k, n): the same stored layer, used for the gradient by its input; four outputs of an input at a time.
@group(0) @binding(1) var<storage, read> w: array<Weight4>; // (k, n)

alias Block = mat4x4<f32>;

// Where vector `e` of a tile lies: pack e / 4 of the tile's outputs, input 4i + e % 4.
fn weight_at(i: u32, pack0: u32, e: u32) -> u32 {
    let outputs = params.n / PACK;
    return (i * PACK + e % PACK) * outputs + min(pack0 + e / PACK, outputs - 1u);
}

// A column of the block is the weights of one input for four outputs.
fn product(x: Pack, block: Block) -> Pack {
    return block * x;
}
