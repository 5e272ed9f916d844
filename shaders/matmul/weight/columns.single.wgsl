// The weight is (k, n), of any size.
@group(0) @binding(1) var<storage, read> w: array<WeightElem>; // (k, n)

fn weight_at(i: u32, pack0: u32, e: u32) -> u32 {
    let col = min(pack0 + e, params.n - 1u);
    return i * params.n + col;
}

fn product(x: Pack, block: Block) -> Pack {
    return x * block;
}
