// Neighbouring invocations read neighbouring packs of a row of weights (k, n).
fn weight_order(at: u32) -> vec2<u32> {
    let row = at / TILE_N;
    return vec2<u32>(row / PACK, (at % TILE_N) * PACK + row % PACK);
}
