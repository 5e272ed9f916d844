// The weight is (n, k), one row an output, as a Linear layer stores it; four inputs by four outputs at a time.
@group(0) @binding(1) var<storage, read> w: array<Weight4>; // (n, k)

alias Block = mat4x4<f32>;

// A column of the block is four weights of one output.
fn weight_block(i: u32, pack: u32) -> Block {
    let inputs = params.k / PACK;
    let at = pack * PACK * inputs + i;
    return Block(
        widen_weight4(w[at]),
        widen_weight4(w[at + inputs]),
        widen_weight4(w[at + 2u * inputs]),
        widen_weight4(w[at + 3u * inputs]),
    );
}

fn product(x: Pack, block: Block) -> Pack {
    return x * block;
}
