// Factors of matrices lie in memory as numbers with more exponents than f16 has: each row is staged as f16 under a power of two of
// its own, by which its largest magnitude lies between 2^14 and 2^15. A number of eight bits is exact so down to 2^-31 of the largest,
// and of those below the error is at most 2^-39 of it (2^-28 where a GPU takes f16's small numbers for 0). A row's own, because
// what a row does not see must not matter, and that may be next to what it sees, whatever it holds.
//
// Rows of workgroup memory are numbered: the owned rows of the first and of the second operand that is kept, the tile's of the
// first and of the second.
const LIFTED: bool = true;

// Bits of the largest magnitudes, NaN and infinities left out.
var<workgroup> largest_of_rows: array<atomic<u32>, 2u * OWNED + 2u * TILE>;
// Powers of the owned rows, and of the tile's, of the first operand and of the second: read with every score.
var<workgroup> powers_of_own: array<vec2<f32>, OWNED>;
var<workgroup> powers_of_tile: array<vec4<f32>, 2u * TILE_VEC>;

fn half_of(v: Elem4, lift: f32) -> vec4<f16> {
    return vec4<f16>(widen4(v) * lift);
}

// Before anything is noted, with a barrier between.
fn expect_rows(lane: u32) {
    for (var n = lane; n < 2u * OWNED + 2u * TILE; n += WG_SIZE) {
        atomicStore(&largest_of_rows[n], 0u);
    }
}

// Before anything of the next tile is noted, with a barrier between.
fn expect_tile(lane: u32) {
    for (var n = lane; n < 2u * TILE; n += WG_SIZE) {
        atomicStore(&largest_of_rows[2u * OWNED + n], 0u);
    }
}

fn note(at: u32, magnitude: f32) {
    atomicMax(&largest_of_rows[at], bitcast<u32>(magnitude));
}

// Bits of 2^e for numbers from 2^e, e at least -112: so that both powers are normal numbers.
fn exponent_at(at: u32) -> u32 {
    return max(atomicLoad(&largest_of_rows[at]) & 0x7f800000u, 15u << 23u);
}

// What a row is multiplied by, 2^(14 - e), and what it has to be multiplied by again.
fn lift_at(at: u32) -> f32 {
    return bitcast<f32>(((254u + 14u) << 23u) - exponent_at(at));
}

fn power_at(at: u32) -> f32 {
    return bitcast<f32>(exponent_at(at) - (14u << 23u));
}

// Of one of the owned rows' operands, noted before the last barrier, for all invocations after the next.
fn keep_own_powers(which: u32, lane: u32) {
    if (lane < OWNED) {
        powers_of_own[lane][which] = power_at(which * OWNED + lane);
    }
}

fn own_power(which: u32, row: u32) -> f32 {
    return powers_of_own[row][which];
}

// Of one of the tile's operands, noted before the last barrier, for all invocations after the next.
fn keep_powers(which: u32, lane: u32) {
    if (lane < TILE_VEC) {
        let at = 2u * OWNED + which * TILE + lane * 4u;
        powers_of_tile[which * TILE_VEC + lane] = vec4<f32>(power_at(at), power_at(at + 1u), power_at(at + 2u), power_at(at + 3u));
    }
}

fn kept_powers(which: u32, at: u32) -> vec4<f32> {
    return powers_of_tile[which * TILE_VEC + at];
}
