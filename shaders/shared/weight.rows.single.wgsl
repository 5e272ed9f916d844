// The weight is (n, k), one row an output, of any size.
@group(0) @binding(1) var<storage, read> w: array<WeightElem>; // (n, k)

alias Block = f32;

fn weight_block(i: u32, col: u32) -> Block {
    return f32(w[col * params.k + i]);
}

fn product(x: Pack, block: Block) -> Pack {
    return x * block;
}
