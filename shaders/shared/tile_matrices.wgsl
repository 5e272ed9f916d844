// Products of tiles by cooperative matrices. Each of WAVES subgroups owns MATRIX rows; together they pass over what the
// rows meet, TILE at a time, staged in workgroup memory. `operand(which, place, row, d)` reads the kernel's tensors.
//
// Numbers between two products go through workgroup memory, since a matrix's layout over the invocations is not known:
// an invocation has SHARE columns of one row, and SHARERS invocations of its subgroup share the row.
const TILE: u32 = 2u * MATRIX;
const PARTS: u32 = HEAD_DIM / MATRIX; // matrices along a head
// Rows in workgroup memory are a little longer than their contents, so that a column is not in one bank.
const KEY_STRIDE: u32 = HEAD_DIM + 8u;
const OWN_STRIDE: u32 = MATRIX + 8u;
const SCORE_STRIDE: u32 = TILE + 4u;
const WEIGHT_STRIDE: u32 = TILE + 8u;
const LANES: u32 = WG_SIZE / WAVES;
const SHARERS: u32 = LANES / MATRIX;
const SHARE: u32 = TILE / SHARERS;

// STAGES tiles, (TILE, KEY_STRIDE); before them a matrix of every owned row, (WAVES · MATRIX, OWN_STRIDE).
var<workgroup> staged: array<f16, max(STAGES * TILE * KEY_STRIDE, WAVES * MATRIX * OWN_STRIDE)>;
// A product's results, (WAVES · MATRIX, SCORE_STRIDE), and the left factor of the next, (WAVES · MATRIX, WEIGHT_STRIDE).
var<workgroup> scores: array<f32, WAVES * MATRIX * SCORE_STRIDE>;
var<workgroup> weights: array<f16, WAVES * MATRIX * WEIGHT_STRIDE>;
var<workgroup> raised: atomic<u32>;
var<workgroup> agreed: u32;

// Which row of which subgroup an invocation shares, and where that row lies.
struct Share {
    row: u32, // among the rows of the workgroup
    part: u32, // columns part · SHARE and on
    score_at: u32,
    weight_at: u32,
    wave_scores: u32, // where the subgroup's rows begin
    wave_weights: u32,
}

// Before anything else of the module, with a barrier between it and `anyone`: workgroup memory is not zeroed.
fn share_of(lane: u32) -> Share {
    if (lane == 0u) {
        atomicStore(&raised, 0u);
    }
    let wave = lane / LANES;
    let own = (lane % LANES) % MATRIX;
    let scores_of = wave * MATRIX * SCORE_STRIDE;
    let weights_of = wave * MATRIX * WEIGHT_STRIDE;
    return Share(
        wave * MATRIX + own,
        (lane % LANES) / MATRIX,
        scores_of + own * SCORE_STRIDE,
        weights_of + own * WEIGHT_STRIDE,
        scores_of,
        weights_of,
    );
}

fn stage(at: u32, value: Elem4) {
    staged[at] = value.x;
    staged[at + 1u] = value.y;
    staged[at + 2u] = value.z;
    staged[at + 3u] = value.w;
}

// TILE rows from `first` into one of the STAGES; rows after `last` repeat it. Nobody may still be reading it.
fn stage_tile(which: u32, slot: u32, place: Place, first: u32, last: u32, lane: u32) {
    for (var n = lane; n < TILE * HEAD_VEC; n += WG_SIZE) {
        let row = n / HEAD_VEC;
        let value = operand(which, place, min(first + row, last), n % HEAD_VEC);
        stage((slot * TILE + row) * KEY_STRIDE + (n % HEAD_VEC) * 4u, value);
    }
}

// Matrix `d` of every owned row. The rows' whole width goes into registers so, one matrix at a time.
fn stage_own(which: u32, place: Place, first: u32, last: u32, d: u32, lane: u32) {
    workgroupBarrier();
    for (var n = lane; n < WAVES * MATRIX * (MATRIX / 4u); n += WG_SIZE) {
        let row = n / (MATRIX / 4u);
        let c = n % (MATRIX / 4u);
        let value = operand(which, place, min(first + row, last), d * (MATRIX / 4u) + c);
        stage(row * OWN_STRIDE + c * 4u, value);
    }
    workgroupBarrier();
}

// Of a row, over the invocations that share it.
fn row_max(value: f32) -> f32 {
    var result = value;
    for (var s = MATRIX; s < LANES; s *= 2u) {
        result = max(result, subgroupShuffleXor(result, s));
    }
    return result;
}

fn row_sum(value: f32) -> f32 {
    var result = value;
    for (var s = MATRIX; s < LANES; s *= 2u) {
        result += subgroupShuffleXor(result, s);
    }
    return result;
}

// Whether it holds for any invocation of the workgroup.
fn anyone(holds: bool, lane: u32) -> bool {
    if (holds) {
        atomicMax(&raised, 1u);
    }
    workgroupBarrier();
    if (lane == 0u) {
        agreed = atomicExchange(&raised, 0u);
    }
    return workgroupUniformLoad(&agreed) == 1u;
}

// A matrix of results with each of its rows scaled by a factor of its own.
fn scaled(matrix: Sum, share: Share, factor: f32) -> Sum {
    workgroupBarrier();
    coopStoreT(matrix, &scores[share.wave_scores], SCORE_STRIDE);
    workgroupBarrier();
    for (var t = share.part; t < MATRIX; t += SHARERS) {
        scores[share.score_at + t] *= factor;
    }
    workgroupBarrier();
    return coopLoadT<Sum>(&scores[share.wave_scores], SCORE_STRIDE);
}

// Vector t of a row of a matrix of results that lies in `scores`.
fn result4(share: Share, t: u32) -> vec4<f32> {
    let at = share.score_at + t * 4u;
    return vec4<f32>(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]);
}
