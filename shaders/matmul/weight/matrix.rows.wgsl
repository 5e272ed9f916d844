// Matrices of weights (n, k): as they lie.
alias WeightLifts = array<f32, TURNS>;

fn most_lifts() -> WeightLifts {
    var result: WeightLifts;
    for (var turn = 0u; turn < TURNS; turn++) {
        result[turn] = MOST_LIFT;
    }
    return result;
}

// Where outputs have units, what the invocation's vectors are staged times.
fn renew_weights(
    lifts: ptr<function, WeightLifts>,
    weights: ptr<function, array<Weight4, TURNS>>,
    slab: u32,
    any: bool,
    lane: u32,
) {
    for (var turn = 0u; turn < TURNS; turn++) {
        let at = turn * WG_SIZE + lane;
        let row = TILE_M + min(at, VECTORS - 1u) / SLAB;
        (*lifts)[turn] = renewed((*lifts)[turn], widen_weight4((*weights)[turn]), row, at < VECTORS, slab, any, lane);
    }
}

// Where an invocation's vectors of the weights' first slab lie.
fn places_of_weights(pack0: u32, range: vec2<u32>, lane: u32) -> array<u32, TURNS> {
    var result: array<u32, TURNS>;
    for (var turn = 0u; turn < TURNS; turn++) {
        let at = min(turn * WG_SIZE + lane, VECTORS - 1u);
        result[turn] = weight_at(pack_of(at, range), pack0, at / SLAB);
    }
    return result;
}

fn take_weights(places: ptr<function, array<u32, TURNS>>, slab: u32) -> array<Weight4, TURNS> {
    var result: array<Weight4, TURNS>;
    for (var turn = 0u; turn < TURNS; turn++) {
        result[turn] = w[(*places)[turn] + slab];
    }
    return result;
}

fn stage_weights(
    weights: ptr<function, array<Weight4, TURNS>>,
    lifts: ptr<function, WeightLifts>,
    i: u32,
    range: vec2<u32>,
    lane: u32,
) {
    for (var turn = 0u; turn < TURNS; turn++) {
        let at = turn * WG_SIZE + lane;
        if (VECTORS % WG_SIZE == 0u || at < VECTORS) {
            right[at / SLAB * FACTOR_STRIDE + at % SLAB] = half_of_weight((*weights)[turn], (*lifts)[turn]);
        }
    }
    if (i + SLAB > range.y) {
        for (var turn = 0u; turn < TURNS; turn++) {
            let at = turn * WG_SIZE + lane;
            if (at < VECTORS && !is_staged(at, i, range)) {
                right[at / SLAB * FACTOR_STRIDE + at % SLAB] = vec4<f16>();
            }
        }
    }
}
