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
const PARTS: u32 = HEAD_DIM / MATRIX; // matrices along a head
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
// Rows among which strays were met.
var<workgroup> stray_first: atomic<u32>;
var<workgroup> stray_end: atomic<u32>;

// What an invocation has of the workgroup's rows: vectors part · SHARE and on of a tile's width.
struct Share {
    row: u32,
    part: u32,
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
        atomicStore(&stray_first, NO_STRAYS.x);
        atomicStore(&stray_end, NO_STRAYS.y);
    }
    let row = invocation.lane / SHARERS;
    let part = invocation.lane % SHARERS;
    let own = min(invocation.wave, WAVES - 1u) * MATRIX;
    return Share(
        row,
        part,
        row * SCORE_STRIDE + part * SHARE,
        row * WEIGHT_STRIDE + part * SHARE,
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
            atomicMin(&stray_first, row);
            atomicMax(&stray_end, row + 1u);
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

// Rows among which strays were met, for all invocations.
fn met_strays() -> vec2<u32> {
    workgroupBarrier();
    return vec2<u32>(atomicLoad(&stray_first), atomicLoad(&stray_end));
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
    for (var t = share.part; t < MATRIX / 4u; t += SHARERS) {
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
