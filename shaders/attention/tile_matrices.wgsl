// Products of tiles by cooperative matrices. The first WAVES subgroups of a workgroup own MATRIX rows each; together they pass
// over what the rows meet, TILE at a time, staged in workgroup memory. `operand(which, place, row, d)` reads the kernel's
// tensors. A workgroup has at least WAVES subgroups, whatever their size; those beyond help with everything but products.
//
// Numbers between two products go through workgroup memory, since a matrix's layout over the invocations is not known:
// neighbouring invocations, SHARERS of them, share a row whichever subgroup owns it. All of that memory is vectors, since a
// matrix is read and written at multiples of 16 bytes.
//
// What only those that own rows do stands in a loop over the rows of their subgroup, of one round or none: naga takes arguments
// and variables for values that may differ within a subgroup, and refuses products under an `if` of them.
const TILE: u32 = 32u;
const SPAN: u32 = TILE / MATRIX; // matrices along a tile
const HEAD_MATRICES: u32 = HEAD_DIM / MATRIX; // matrices along a head
// Rows in workgroup memory are a little longer than their contents, so that a column is not in one bank; in vectors.
const KEY_STRIDE: u32 = HEAD_VEC + 2u;
const OWN_STRIDE: u32 = MATRIX / 4u + 2u;
const SCORE_STRIDE: u32 = TILE / 4u + 1u;
const WEIGHT_STRIDE: u32 = TILE / 4u + 2u;
const OWNED: u32 = WAVES * MATRIX; // rows of a workgroup
const SHARERS: u32 = WG_SIZE / OWNED;
const SHARE: u32 = TILE / 4u / SHARERS; // vectors of a row of a tile that an invocation has
// Tiles of which one sum is taken.
const BLOCK_TILES: u32 = 16u;

// STAGES tiles, (TILE, KEY_STRIDE); before them a matrix of every owned row, (OWNED, OWN_STRIDE).
var<workgroup> staged: array<vec4<f16>, max(STAGES * TILE * KEY_STRIDE, OWNED * OWN_STRIDE)>;
// A product's results, (OWNED, SCORE_STRIDE), and the left factor of the next, (OWNED, WEIGHT_STRIDE).
var<workgroup> scores: array<vec4<f32>, OWNED * SCORE_STRIDE>;
var<workgroup> weights: array<vec4<f16>, OWNED * WEIGHT_STRIDE>;
var<workgroup> raised: atomic<u32>;
var<workgroup> agreed: u32;

// What an invocation has of the workgroup's rows: vectors sharer · SHARE and on of a tile's width.
struct Share {
    row: u32,
    sharer: u32, // which of the invocations that share the row
    score_at: u32,
    weight_at: u32,
    wave: u32, // its subgroup: owns rows, and multiplies, if below WAVES
    wave_own: u32, // where those begin in `staged`, `scores` and `weights`
    wave_scores: u32,
    wave_weights: u32,
}

// Before anything else of the module, with a barrier between it and `anyone`: workgroup memory is not zeroed.
fn share_of(invocation: Invocation) -> Share {
    if (invocation.lane == 0u) {
        atomicStore(&raised, 0u);
    }
    expect_no_strays(invocation.lane);
    let row = invocation.lane / SHARERS;
    let sharer = invocation.lane % SHARERS;
    let own = min(invocation.wave, WAVES - 1u) * MATRIX;
    return Share(
        row,
        sharer,
        row * SCORE_STRIDE + sharer * SHARE,
        row * WEIGHT_STRIDE + sharer * SHARE,
        invocation.wave,
        own * OWN_STRIDE,
        own * SCORE_STRIDE,
        own * WEIGHT_STRIDE,
    );
}

// TILE rows from `first` into one of the STAGES; rows after `last` repeat it. Nobody may still be reading it. Strays are
// noted, and kept where the products are to see them. Returns whether the invocation met one.
fn stage_tile(which: u32, slot: u32, place: Place, first: u32, last: u32, lane: u32, keep: bool) -> bool {
    var met = false;
    for (var n = lane; n < TILE * HEAD_VEC; n += WG_SIZE) {
        let row = min(first + n / HEAD_VEC, last);
        var value = operand(which, place, row, n % HEAD_VEC);
        if (any(strays(widen4(value)))) {
            met = true;
            meet_stray(row);
            if (!keep) {
                value = narrow4(without_strays(widen4(value)));
            }
        }
        staged[(slot * TILE + n / HEAD_VEC) * KEY_STRIDE + n % HEAD_VEC] = value;
    }
    return met;
}

// Takes strays of what was staged for 0.
fn clean_tile(slot: u32, lane: u32) {
    for (var n = lane; n < TILE * HEAD_VEC; n += WG_SIZE) {
        let at = (slot * TILE + n / HEAD_VEC) * KEY_STRIDE + n % HEAD_VEC;
        staged[at] = narrow4(without_strays(widen4(staged[at])));
    }
}

// Matrix `d` of every owned row. The rows' whole width goes into registers so, one matrix at a time.
fn stage_own(which: u32, place: Place, first: u32, last: u32, d: u32, lane: u32) {
    workgroupBarrier();
    for (var n = lane; n < OWNED * (MATRIX / 4u); n += WG_SIZE) {
        let row = n / (MATRIX / 4u);
        let c = n % (MATRIX / 4u);
        staged[row * OWN_STRIDE + c] = operand(which, place, min(first + row, last), d * (MATRIX / 4u) + c);
    }
    workgroupBarrier();
}

// The rows that a subgroup owns, `first` and on of an operand; rows after `last` repeat it.
fn own_rows(
    result: ptr<function, array<Left, HEAD_MATRICES>>,
    which: u32,
    place: Place,
    first: u32,
    last: u32,
    share: Share,
    lane: u32,
) {
    for (var d = 0u; d < HEAD_MATRICES; d++) {
        stage_own(which, place, first, last, d, lane);
        for (var w = share.wave; w < WAVES; w += WAVES) {
            (*result)[d] = coopLoadT<Left>(&staged[share.wave_own], OWN_STRIDE);
        }
    }
}

// scores = owned rows · the rows of a staged tile. Nobody may still be reading them, and all of the tile is there.
fn multiply_tile(rows: ptr<function, array<Left, HEAD_MATRICES>>, slot: u32, share: Share) {
    for (var w = share.wave; w < WAVES; w += WAVES) {
        for (var c = 0u; c < SPAN; c++) {
            var product = Sum();
            for (var d = 0u; d < HEAD_MATRICES; d++) {
                let base = (slot * TILE + c * MATRIX) * KEY_STRIDE + d * (MATRIX / 4u);
                product = coopMultiplyAdd((*rows)[d], coopLoad<Right>(&staged[base], KEY_STRIDE), product);
            }
            coopStoreT(product, &scores[share.wave_scores + c * (MATRIX / 4u)], SCORE_STRIDE);
        }
    }
}

// result += weights · the rows of a staged tile.
fn add_tile(result: ptr<function, array<Sum, HEAD_MATRICES>>, slot: u32, share: Share) {
    for (var w = share.wave; w < WAVES; w += WAVES) {
        for (var c = 0u; c < SPAN; c++) {
            let weight = coopLoadT<Left>(&weights[share.wave_weights + c * (MATRIX / 4u)], WEIGHT_STRIDE);
            for (var d = 0u; d < HEAD_MATRICES; d++) {
                let base = (slot * TILE + c * MATRIX) * KEY_STRIDE + d * (MATRIX / 4u);
                (*result)[d] = coopMultiplyAdd(weight, coopLoadT<Right>(&staged[base], KEY_STRIDE), (*result)[d]);
            }
        }
    }
}

// Of a row, over the invocations that share it.
fn row_max(value: f32) -> f32 {
    var result = value;
    for (var s = 1u; s < SHARERS; s *= 2u) {
        result = max(result, subgroupShuffleXor(result, s));
    }
    return result;
}

fn row_sum(value: f32) -> f32 {
    var result = value;
    for (var s = 1u; s < SHARERS; s *= 2u) {
        result += subgroupShuffleXor(result, s);
    }
    return result;
}

// The flags that any invocation of the workgroup raises.
fn anyone(flags: u32, lane: u32) -> u32 {
    if (flags != 0u) {
        atomicOr(&raised, flags);
    }
    workgroupBarrier();
    if (lane == 0u) {
        agreed = atomicExchange(&raised, 0u);
    }
    return workgroupUniformLoad(&agreed);
}

// A matrix of results with each of its rows scaled by a factor of its own.
fn scaled(matrix: Sum, share: Share, factor: f32) -> Sum {
    var result = matrix;
    workgroupBarrier();
    for (var w = share.wave; w < WAVES; w += WAVES) {
        coopStoreT(matrix, &scores[share.wave_scores], SCORE_STRIDE);
    }
    workgroupBarrier();
    for (var t = share.sharer; t < MATRIX / 4u; t += SHARERS) {
        scores[share.row * SCORE_STRIDE + t] *= factor;
    }
    workgroupBarrier();
    for (var w = share.wave; w < WAVES; w += WAVES) {
        result = coopLoadT<Sum>(&scores[share.wave_scores], SCORE_STRIDE);
    }
    return result;
}

// Puts a matrix of results where the invocations that share its rows find them.
fn show(matrix: Sum, share: Share) {
    workgroupBarrier();
    for (var w = share.wave; w < WAVES; w += WAVES) {
        coopStoreT(matrix, &scores[share.wave_scores], SCORE_STRIDE);
    }
    workgroupBarrier();
}

// Vector t of the invocation's row of a matrix that was shown.
fn shown(share: Share, t: u32) -> vec4<f32> {
    return scores[share.row * SCORE_STRIDE + t];
}

fn largest_of(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn total_of(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
