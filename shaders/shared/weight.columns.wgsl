// The weight is (k, n): the same stored layer, used for the gradient by its input; four by four at a time.
@group(0) @binding(1) var<storage, read> w: array<Weight4>; // (k, n)

alias Block = mat4x4<f32>;

// A column of the block is the weights of one input for four outputs.
fn weight_block(i: u32, pack: u32) -> Block {
    let outputs = params.n / PACK;
    let at = i * PACK * outputs + pack;
    return Block(
        widen_weight4(w[at]),
        widen_weight4(w[at + outputs]),
        widen_weight4(w[at + 2u * outputs]),
        widen_weight4(w[at + 3u * outputs]),
    );
}

fn product(x: Pack, block: Block) -> Pack {
    return block * x;
}
