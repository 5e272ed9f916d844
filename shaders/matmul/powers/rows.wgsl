// Factors of matrices lie in memory as numbers with more exponents than f16 has: each row of x, and the weights of each output, are
// staged as f16 relative to a unit of their own, the power of two at or below the largest magnitude so far. It is renewed, and the sums
// so far are scaled, only where a later one outgrows it by SLACK; LIFT times as large, f16 holds them up to 2 · SLACK · LIFT. A
// number of eight bits is exact so down to 2^-24 of the unit, and of those below the error is at most 2^-32 of it (2^-21 where a GPU
// takes f16's small numbers for 0).
const LIFTED: bool = true;
const SLACK: f32 = 128.0;
const LIFT: f32 = 128.0; // 2^7
const LEAST: f32 = 1.9259299443872359e-34; // 2^-112, the least unit
const MOST_LIFT: f32 = 6.646139978924579e35; // LIFT / LEAST

// Units of the rows of x, and then of the outputs; and those that the sums so far are relative to.
var<workgroup> units: array<f32, TILE_M + TILE_N>;
var<workgroup> units_of_sums: array<f32, TILE_M + TILE_N>;
// Whether a unit was renewed: of even and of odd slabs.
var<workgroup> events: array<atomic<u32>, 2>;

fn half_of(v: ElemPack, lift: f32) -> vec4<f16> {
    return vec4<f16>(widen(v) * lift);
}

fn half_of_weight(v: Weight4, lift: f32) -> vec4<f16> {
    return vec4<f16>(widen_weight4(v) * lift);
}

// Number e of four vectors.
fn half_of_column(a: Weight4, b: Weight4, c: Weight4, d: Weight4, e: u32, lift: f32) -> vec4<f16> {
    let column = vec4<f32>(widen_weight4(a)[e], widen_weight4(b)[e], widen_weight4(c)[e], widen_weight4(d)[e]);
    return vec4<f16>(column * lift);
}

// Before anything else of the module, with a barrier after it.
fn expect_rows(lane: u32) {
    for (var n = lane; n < TILE_M + TILE_N; n += WG_SIZE) {
        units[n] = LEAST;
        units_of_sums[n] = LEAST;
    }
    if (lane < 2u) {
        atomicStore(&events[lane], 0u);
    }
}

// What the invocation's numbers are staged times, LIFT over the unit of row `at` of both factors, after what neighbouring
// invocations, SLAB of them, hold of it for this slab; `any` sums were taken before.
fn renewed(lift: f32, v: vec4<f32>, at: u32, there: bool, slab: u32, any: bool, lane: u32) -> f32 {
    let a = abs(v);
    let most = max(max(a.x, a.y), max(a.z, a.w));
    // As a rule nobody's outgrows its unit. NaN is not below.
    if (!subgroupAny(!(most * lift < 2.0 * SLACK * LIFT))) {
        return lift;
    }
    // NaN and infinities have no magnitude.
    let finite = select(a, vec4<f32>(), (bitcast<vec4<u32>>(a) & vec4<u32>(0x7f800000u)) == vec4<u32>(0x7f800000u));
    var largest = max(max(finite.x, finite.y), max(finite.z, finite.w));
    for (var s = 1u; s < SLAB; s *= 2u) {
        largest = max(largest, subgroupShuffleXor(largest, s));
    }
    if (largest * lift < 2.0 * SLACK * LIFT) {
        return lift;
    }
    let unit = bitcast<f32>(bitcast<u32>(largest) & 0x7f800000u);
    if (there && lane % SLAB == 0u) {
        units[at] = unit;
        if (any) {
            atomicStore(&events[slab & 1u], 1u);
        } else {
            units_of_sums[at] = unit;
        }
    }
    return bitcast<f32>(((254u + 7u) << 23u) - bitcast<u32>(unit));
}

// Whether the sums so far are relative to other units than this slab's; for all invocations, after the barrier that follows.
fn are_renewed(slab: u32) -> bool {
    return atomicLoad(&events[slab & 1u]) != 0u;
}

// By how much the sums of a row of both factors have to fall.
fn fall_of(at: u32) -> f32 {
    let exponent = (127u << 23u) + bitcast<u32>(units_of_sums[at]);
    return bitcast<f32>(max(exponent, bitcast<u32>(units[at])) - bitcast<u32>(units[at]));
}

// The sums are relative to the units from now on.
fn settle_rows(lane: u32) {
    for (var n = lane; n < TILE_M + TILE_N; n += WG_SIZE) {
        units_of_sums[n] = units[n];
    }
}

// What the next slab may say, which nobody reads before a barrier more.
fn expect_events(slab: u32, lane: u32) {
    if (lane == 0u) {
        atomicStore(&events[1u - (slab & 1u)], 0u);
    }
}

// Sums of a row of x with four outputs, `column` and on.
fn of_units(sum: Pack, row: u32, column: u32) -> Pack {
    let at = TILE_M + column;
    let theirs = vec4<f32>(units[at], units[at + 1u], units[at + 2u], units[at + 3u]) / LIFT;
    let own = vec4<f32>(units[row] / LIFT);
    // The smaller first: neither leaves the range of numbers where the sum does not.
    return sum * min(own, theirs) * max(own, theirs);
}
