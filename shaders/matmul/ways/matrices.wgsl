// Products by cooperative matrices, f16 factors and f32 sums. The first four subgroups of a workgroup, two by two, compute a
// tile of TILE_M rows by TILE_N columns, each SPAN × SPAN matrices of it; both factors pass through workgroup memory, DEPTH of
// the inner size at a time, and through registers before, while the slab before is multiplied. A workgroup has at least four
// subgroups, whatever their size; those beyond help with everything but products (a loop that ends with its first round, as in
// tile_matrices.wgsl). All of that memory is vectors, since a matrix is read and written at multiples of 16 bytes, and of both
// factors the inner size is what lies side by side, since a matrix is read along it.
//
// Loops have constant counts: unrolled, loads go out together, and what is in registers is not looked up there.
const SPAN: u32 = 4u;
const TILE_M: u32 = 2u * SPAN * MATRIX;
const TILE_N: u32 = TILE_M;
const DEPTH: u32 = 2u * MATRIX;
const SLAB: u32 = DEPTH / PACK; // vectors of a slab
// Rows in workgroup memory are a little longer than their contents, so that a column is not in one bank; in vectors.
const FACTOR_STRIDE: u32 = SLAB + 2u;
const SUM_STRIDE: u32 = MATRIX / PACK + 1u;
// Vectors of a slab of a factor, of a matrix of each subgroup, and how many an invocation has.
const VECTORS: u32 = TILE_M * SLAB;
const TURNS: u32 = (VECTORS + WG_SIZE - 1u) / WG_SIZE;
const SUM_VECTORS: u32 = 4u * MATRIX * (MATRIX / PACK);
const SUM_TURNS: u32 = (SUM_VECTORS + WG_SIZE - 1u) / WG_SIZE;

var<workgroup> left: array<vec4<f16>, TILE_M * FACTOR_STRIDE>; // (TILE_M, DEPTH)
var<workgroup> right: array<vec4<f16>, TILE_N * FACTOR_STRIDE>; // (TILE_N, DEPTH)
var<workgroup> sums: array<vec4<f32>, 4u * MATRIX * SUM_STRIDE>; // a matrix of each subgroup

// Where a slab begins that holds packs i and on of range.x..range.y: at i, or so far before that it ends where they do, so that
// only parts shorter than a slab pass over their end.
fn slab_at(i: u32, range: vec2<u32>) -> u32 {
    return max(min(i + SLAB, range.y), range.x + SLAB) - SLAB;
}

// Which pack of a slab an invocation reads for its vector `at`: one that is there.
fn pack_of(at: u32, range: vec2<u32>) -> u32 {
    return min(at % SLAB, range.y - range.x - 1u);
}

// Whether a slab of which vector `at` is staged holds it for the packs from i: what is not there, or was multiplied before, is 0
// in both factors, since zero times what lies there might be none.
fn is_staged(at: u32, i: u32, range: vec2<u32>) -> bool {
    let pack = slab_at(i, range) + at % SLAB;
    return pack >= i && pack < range.y;
}

// Where an invocation's vectors of the rows' first slab lie.
fn places_of_rows(row0: u32, range: vec2<u32>, lane: u32) -> array<u32, TURNS> {
    var result: array<u32, TURNS>;
    for (var turn = 0u; turn < TURNS; turn++) {
        let at = min(turn * WG_SIZE + lane, VECTORS - 1u);
        result[turn] = x_at(min(row0 + at / SLAB, params.m - 1u), pack_of(at, range));
    }
    return result;
}

fn take_rows(places: ptr<function, array<u32, TURNS>>, slab: u32) -> array<ElemPack, TURNS> {
    var result: array<ElemPack, TURNS>;
    for (var turn = 0u; turn < TURNS; turn++) {
        result[turn] = x[(*places)[turn] + slab];
    }
    return result;
}

// Where rows have units, what the invocation's vectors are staged times.
fn renew_rows(
    lifts: ptr<function, array<f32, TURNS>>,
    rows: ptr<function, array<ElemPack, TURNS>>,
    slab: u32,
    any: bool,
    lane: u32,
) {
    for (var turn = 0u; turn < TURNS; turn++) {
        let at = turn * WG_SIZE + lane;
        let row = min(at, VECTORS - 1u) / SLAB;
        (*lifts)[turn] = renewed((*lifts)[turn], widen((*rows)[turn]), row, at < VECTORS, slab, any, lane);
    }
}

fn stage_rows(
    rows: ptr<function, array<ElemPack, TURNS>>,
    lifts: ptr<function, array<f32, TURNS>>,
    i: u32,
    range: vec2<u32>,
    lane: u32,
) {
    for (var turn = 0u; turn < TURNS; turn++) {
        let at = turn * WG_SIZE + lane;
        if (VECTORS % WG_SIZE == 0u || at < VECTORS) {
            left[at / SLAB * FACTOR_STRIDE + at % SLAB] = half_of((*rows)[turn], (*lifts)[turn]);
        }
    }
    if (i + SLAB > range.y) {
        for (var turn = 0u; turn < TURNS; turn++) {
            let at = turn * WG_SIZE + lane;
            if (at < VECTORS && !is_staged(at, i, range)) {
                left[at / SLAB * FACTOR_STRIDE + at % SLAB] = vec4<f16>();
            }
        }
    }
}

// Scales the sums so far to units that were renewed.
fn scale_sums(acc: ptr<function, array<array<Sum, SPAN>, SPAN>>, invocation: Invocation) {
    for (var r = 0u; r < SPAN; r++) {
        for (var c = 0u; c < SPAN; c++) {
            show((*acc)[r][c], invocation);
            for (var turn = 0u; turn < SUM_TURNS; turn++) {
                let at = turn * WG_SIZE + invocation.lane;
                if (at < SUM_VECTORS) {
                    let place = place_of(at, r, c);
                    let fall = TILE_M + place.y;
                    let by_output = vec4<f32>(fall_of(fall), fall_of(fall + 1u), fall_of(fall + 2u), fall_of(fall + 3u));
                    sums[sum_at(at)] *= fall_of(place.x) * by_output;
                }
            }
            workgroupBarrier();
            loop {
                if (invocation.wave >= 4u) {
                    break;
                }
                (*acc)[r][c] = coopLoadT<Sum>(&sums[min(invocation.wave, 3u) * MATRIX * SUM_STRIDE], SUM_STRIDE);
                break;
            }
        }
    }
    workgroupBarrier();
    settle_rows(invocation.lane);
    // Before anyone renews a unit for the next slab.
    workgroupBarrier();
}

// Puts a matrix of each subgroup where all find it.
fn show(matrix: Sum, invocation: Invocation) {
    workgroupBarrier();
    loop {
        if (invocation.wave >= 4u) {
            break;
        }
        coopStoreT(matrix, &sums[min(invocation.wave, 3u) * MATRIX * SUM_STRIDE], SUM_STRIDE);
        break;
    }
    workgroupBarrier();
}

// Where vector `at` of the matrices that were shown lies, and its row and first column in the tile.
fn sum_at(at: u32) -> u32 {
    return at / (MATRIX / PACK) * SUM_STRIDE + at % (MATRIX / PACK);
}

fn place_of(at: u32, r: u32, c: u32) -> vec2<u32> {
    let of_wave = at / (MATRIX * (MATRIX / PACK));
    let row = ((of_wave / 2u) * SPAN + r) * MATRIX + at / (MATRIX / PACK) % MATRIX;
    let column = ((of_wave % 2u) * SPAN + c) * MATRIX + at % (MATRIX / PACK) * PACK;
    return vec2<u32>(row, column);
}

fn multiply(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let wave = min(invocation.wave, 3u);
    let outputs = params.n / PACK;
    let row0 = wg.y * TILE_M;
    let pack0 = wg.x * (TILE_N / PACK);
    let wave_row = (wave / 2u) * SPAN * MATRIX;
    let wave_column = (wave % 2u) * SPAN * MATRIX;
    var acc: array<array<Sum, SPAN>, SPAN>;
    // Mesa 25.0 for AMD leaves all numbers but one of an array of matrices unset that nobody assigns.
    for (var r = 0u; r < SPAN; r++) {
        for (var c = 0u; c < SPAN; c++) {
            acc[r][c] = Sum();
        }
    }
    let range = inputs_of_part(wg.z);
    var row_places = places_of_rows(row0, range, lane);
    var weight_places = places_of_weights(pack0, range, lane);
    var rows = take_rows(&row_places, slab_at(range.x, range));
    var weights = take_weights(&weight_places, slab_at(range.x, range));
    var row_lifts: array<f32, TURNS>;
    var weight_lifts: WeightLifts;
    if (LIFTED) {
        expect_rows(lane);
        for (var turn = 0u; turn < TURNS; turn++) {
            row_lifts[turn] = MOST_LIFT;
        }
        weight_lifts = most_lifts();
        workgroupBarrier();
    }
    for (var i = range.x; i < range.y; i += SLAB) {
        let slab = (i - range.x) / SLAB;
        if (LIFTED) {
            renew_rows(&row_lifts, &rows, slab, i > range.x, lane);
            renew_weights(&weight_lifts, &weights, slab, i > range.x, lane);
        }
        workgroupBarrier();
        stage_rows(&rows, &row_lifts, i, range, lane);
        stage_weights(&weights, &weight_lifts, i, range, lane);
        if (LIFTED) {
            expect_events(slab, lane);
        }
        workgroupBarrier();
        if (LIFTED && are_renewed(slab)) {
            scale_sums(&acc, invocation);
        }
        let next = slab_at(i + SLAB, range);
        rows = take_rows(&row_places, next);
        weights = take_weights(&weight_places, next);
        loop {
            if (invocation.wave >= 4u) {
                break;
            }
            for (var d = 0u; d < DEPTH; d += MATRIX) {
                var factor: array<Right, SPAN>;
                for (var c = 0u; c < SPAN; c++) {
                    let base = (wave_column + c * MATRIX) * FACTOR_STRIDE + d / PACK;
                    factor[c] = coopLoad<Right>(&right[base], FACTOR_STRIDE);
                }
                for (var r = 0u; r < SPAN; r++) {
                    let base = (wave_row + r * MATRIX) * FACTOR_STRIDE + d / PACK;
                    let own = coopLoadT<Left>(&left[base], FACTOR_STRIDE);
                    for (var c = 0u; c < SPAN; c++) {
                        acc[r][c] = coopMultiplyAdd(own, factor[c], acc[r][c]);
                    }
                }
            }
            break;
        }
    }
    for (var r = 0u; r < SPAN; r++) {
        for (var c = 0u; c < SPAN; c++) {
            show(acc[r][c], invocation);
            // All invocations store, each vectors of one of the four matrices.
            for (var turn = 0u; turn < SUM_TURNS; turn++) {
                let at = turn * WG_SIZE + lane;
                let place = place_of(at, r, c);
                let row = row0 + place.x;
                let pack = pack0 + place.y / PACK;
                if (at < SUM_VECTORS && row < params.m && pack < outputs) {
                    store(wg.z, row, pack, of_units(sums[sum_at(at)], place.x, place.y));
                }
            }
        }
    }
}
