// The weight is (k, n), of any size.
@group(0) @binding(1) var<storage, read> w: array<WeightElem>; // (k, n)

alias Block = f32;

fn weight_block(i: u32, col: u32) -> Block {
    return f32(w[i * params.n + col]);
}

fn product(x: Pack, block: Block) -> Pack {
    return x * block;
}
