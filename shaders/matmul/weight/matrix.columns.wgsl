// Matrices of weights (k, n): transposed in quads of 4 inputs × 4 outputs. Neighbours have neighbouring inputs, so that what
// they store lies side by side.
alias Quad = array<Weight4, 4>;
const QUADS: u32 = SLAB * (TILE_N / PACK);
const QUAD_TURNS: u32 = (QUADS + WG_SIZE - 1u) / WG_SIZE;
alias WeightLifts = array<vec4<f32>, QUAD_TURNS>;

fn most_lifts() -> WeightLifts {
    var result: WeightLifts;
    for (var turn = 0u; turn < QUAD_TURNS; turn++) {
        result[turn] = vec4<f32>(MOST_LIFT);
    }
    return result;
}

// Where outputs have units, what the invocation's quads are staged times.
fn renew_weights(
    lifts: ptr<function, WeightLifts>,
    weights: ptr<function, array<Quad, QUAD_TURNS>>,
    slab: u32,
    any: bool,
    lane: u32,
) {
    for (var turn = 0u; turn < QUAD_TURNS; turn++) {
        let at = turn * WG_SIZE + lane;
        let row = TILE_M + min(at, QUADS - 1u) / SLAB * PACK;
        let quad = (*weights)[turn];
        let w0 = widen_weight4(quad[0]);
        let w1 = widen_weight4(quad[1]);
        let w2 = widen_weight4(quad[2]);
        let w3 = widen_weight4(quad[3]);
        for (var e = 0u; e < PACK; e++) {
            let column = vec4<f32>(w0[e], w1[e], w2[e], w3[e]);
            (*lifts)[turn][e] = renewed((*lifts)[turn][e], column, row + e, at < QUADS, slab, any, lane);
        }
    }
}

// Where an invocation's quads of the weights' first slab lie.
fn places_of_weights(pack0: u32, range: vec2<u32>, lane: u32) -> array<u32, QUAD_TURNS> {
    var result: array<u32, QUAD_TURNS>;
    for (var turn = 0u; turn < QUAD_TURNS; turn++) {
        let at = min(turn * WG_SIZE + lane, QUADS - 1u);
        result[turn] = weight_at(pack_of(at, range), pack0, at / SLAB * PACK);
    }
    return result;
}

fn take_weights(places: ptr<function, array<u32, QUAD_TURNS>>, slab: u32) -> array<Quad, QUAD_TURNS> {
    let outputs = params.n / PACK;
    var result: array<Quad, QUAD_TURNS>;
    for (var turn = 0u; turn < QUAD_TURNS; turn++) {
        for (var e = 0u; e < PACK; e++) {
            result[turn][e] = w[(*places)[turn] + (slab * PACK + e) * outputs];
        }
    }
    return result;
}

fn stage_weights(
    weights: ptr<function, array<Quad, QUAD_TURNS>>,
    lifts: ptr<function, WeightLifts>,
    i: u32,
    range: vec2<u32>,
    lane: u32,
) {
    for (var turn = 0u; turn < QUAD_TURNS; turn++) {
        let at = turn * WG_SIZE + lane;
        if (QUADS % WG_SIZE == 0u || at < QUADS) {
            let quad = (*weights)[turn];
            let base = at / SLAB * PACK * FACTOR_STRIDE + at % SLAB;
            for (var e = 0u; e < PACK; e++) {
                let lift = (*lifts)[turn][e];
                right[base + e * FACTOR_STRIDE] = half_of_column(quad[0], quad[1], quad[2], quad[3], e, lift);
            }
        }
    }
    if (i + SLAB > range.y) {
        for (var turn = 0u; turn < QUAD_TURNS; turn++) {
            let at = turn * WG_SIZE + lane;
            if (at < QUADS && !is_staged(at, i, range)) {
                let base = at / SLAB * PACK * FACTOR_STRIDE + at % SLAB;
                for (var e = 0u; e < PACK; e++) {
                    right[base + e * FACTOR_STRIDE] = vec4<f16>();
                }
            }
        }
    }
}
