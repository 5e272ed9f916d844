// The weight is (n, k), one row an output, of any size.
@group(0) @binding(1) var<storage, read> w: array<WeightElem>; // (n, k)

fn weight_at(i: u32, pack0: u32, e: u32) -> u32 {
    let col = min(pack0 + e, params.n - 1u);
    return col * params.k + i;
}

fn product(x: Pack, block: Block) -> Pack {
    return x * block;
}
