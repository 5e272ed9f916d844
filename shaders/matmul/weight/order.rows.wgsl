// Neighbouring invocations read neighbouring vectors of a row of weights (n, k).
fn weight_order(at: u32) -> vec2<u32> {
    return vec2<u32>(at % SLAB, at / SLAB);
}
