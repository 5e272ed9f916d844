// Products of tiles by cooperative matrices. The first WAVES subgroups of a workgroup own MATRIX rows each; together they pass
// over what the rows meet, TILE at a time, staged in workgroup memory. `operand(which, operand_at(which, place, first, row) + d)`
// is vector d of row first + row of the kernel's tensors, where `first` is the same for all. A workgroup has at least WAVES subgroups, whatever their size; those beyond help with everything but products.
//
// A matrix's elements of one row of results lie side by side in what it is read from, two vectors at a time, whichever factor
// it is: element by element a GPU would gather them. So what products sum over is staged by columns, transposed.
//
// Numbers between two products go through workgroup memory, since a matrix's layout over the invocations is not known:
// neighbouring invocations, SHARERS of them, share a row whichever subgroup owns it. All of that memory is vectors, since a
// matrix is read and written at multiples of 16 bytes.
//
// What only those that own rows do stands in a loop that ends with its first round: naga takes arguments and variables for
// values that may differ within a subgroup, and refuses products under an `if` of them. Loops over matrices and staged vectors
// have constant counts: unrolled, loads go out together, and what is in registers is not looked up there. CHAINS, the kernel's,
// says how many matrices of scores are summed side by side: two wait less for each other, and hold more registers.
const TILE: u32 = 32u;
const TILE_VEC: u32 = TILE / 4u;
const SPAN: u32 = TILE / MATRIX; // matrices along a tile
const HEAD_MATRICES: u32 = HEAD_DIM / MATRIX; // matrices along a head
// Rows in workgroup memory are a little longer than their contents, so that a column is not in one bank; in vectors.
const KEY_STRIDE: u32 = HEAD_VEC + 2u;
const COLUMN_STRIDE: u32 = TILE_VEC + 2u;
const OWN_STRIDE: u32 = MATRIX / 4u + 2u;
const SCORE_STRIDE: u32 = TILE_VEC + 1u;
const WEIGHT_STRIDE: u32 = TILE_VEC + 2u;
const OWNED: u32 = WAVES * MATRIX; // rows of a workgroup
const SHARERS: u32 = WG_SIZE / OWNED;
const SHARE: u32 = TILE_VEC / SHARERS; // vectors of a row of a tile that an invocation has
const MATRIX_SHARE: u32 = (MATRIX / 4u + SHARERS - 1u) / SHARERS; // of a row of a matrix
// Pairs of vectors of a tile, and its blocks of 4 rows × 4 elements, and how many an invocation stages.
const PAIRS: u32 = TILE * HEAD_VEC / 2u;
const PAIR_TURNS: u32 = (PAIRS + WG_SIZE - 1u) / WG_SIZE;
const BLOCKS: u32 = TILE_VEC * HEAD_VEC;
const BLOCK_TURNS: u32 = (BLOCKS + WG_SIZE - 1u) / WG_SIZE;
const OWN_VECTORS: u32 = OWNED * (MATRIX / 4u);
const OWN_TURNS: u32 = (OWN_VECTORS + WG_SIZE - 1u) / WG_SIZE;
// Tiles of which one sum is taken.
const BLOCK_TILES: u32 = 16u;

alias Block = array<Elem4, 4>; // four rows' vectors

// A tile, by rows (TILE, KEY_STRIDE) or by columns (HEAD_DIM, COLUMN_STRIDE); before them a matrix of every owned row,
// (OWNED, OWN_STRIDE).
var<workgroup> staged: array<vec4<f16>, max(max(TILE * KEY_STRIDE, HEAD_DIM * COLUMN_STRIDE), OWNED * OWN_STRIDE)>;
// A product's results, (OWNED, SCORE_STRIDE), and the left factor of the next, (OWNED, WEIGHT_STRIDE).
var<workgroup> scores: array<vec4<f32>, OWNED * SCORE_STRIDE>;
var<workgroup> weights: array<vec4<f16>, OWNED * WEIGHT_STRIDE>;
// What seldom happens and has to be settled before the next product: of two kinds of results, of even and of odd tiles. Single
// words come last, so that matrices begin, and are read, at multiples of 16 bytes.
var<workgroup> events: array<atomic<u32>, 4>;
const RAISED: u32 = 1u; // some row's results are to be scaled
const STRAYS: u32 = 2u; // there are strays in what is staged by columns

// Which invocation of the workgroup it is, and in which subgroup, which owns rows, and multiplies, if below WAVES. What an
// invocation has of the rows follows anew wherever it is wanted: in registers it would take the place of matrices.
struct Share {
    lane: u32,
    wave: u32,
}

// Before anything else of the module, with a barrier after it: workgroup memory is not zeroed.
fn share_of(invocation: Invocation) -> Share {
    if (invocation.lane < 4u) {
        atomicStore(&events[invocation.lane], 0u);
    }
    expect_no_strays(invocation.lane);
    expect_rows(invocation.lane);
    return Share(invocation.lane, invocation.wave);
}

// The row of the workgroup's that an invocation shares, and which of those that do it is: it has vectors sharer · SHARE and on
// of a tile's width.
fn row_of(share: Share) -> u32 {
    return share.lane / SHARERS;
}

fn sharer_of(share: Share) -> u32 {
    return share.lane % SHARERS;
}

fn score_at(share: Share) -> u32 {
    return row_of(share) * SCORE_STRIDE + sharer_of(share) * SHARE;
}

fn weight_at(share: Share) -> u32 {
    return row_of(share) * WEIGHT_STRIDE + sharer_of(share) * SHARE;
}

// The first of the rows that a subgroup owns.
fn owned_by(share: Share) -> u32 {
    return min(share.wave, WAVES - 1u) * MATRIX;
}

// Where row first + row of the queries of a key head's heads begins, of the keys: what is the same for all apart from what is
// not.
fn query_of(place: Place, first: u32, row: u32) -> u32 {
    if (GROUP > 1u) {
        return query_at(place, first + row);
    }
    return q_at(place.b, first, place.kv_head) + row * (params.heads * HEAD_VEC);
}

fn key_of(place: Place, first: u32, row: u32) -> u32 {
    return kv_at(place.b, first, place.kv_head) + row * (params.kv_heads * HEAD_VEC);
}

// TILE rows from `first`, by rows; those after `last` repeat it. Nobody may still be reading what is staged. Where rows have
// powers, they are noted as those of the tile's first or second operand, `noted`, on the way.
fn stage_rows(which: u32, noted: u32, place: Place, first: u32, last: u32, lane: u32) {
    if (LIFTED) {
        stage_lifted_rows(which, noted, place, first, last, lane);
        return;
    }
    for (var turn = 0u; turn < PAIR_TURNS; turn++) {
        let n = turn * WG_SIZE + lane;
        let row = n / (HEAD_VEC / 2u);
        let d = n % (HEAD_VEC / 2u) * 2u;
        if (PAIRS % WG_SIZE == 0u || n < PAIRS) {
            let at = operand_at(which, place, first, min(row, last - first)) + d;
            staged[row * KEY_STRIDE + d] = half_of(operand(which, at), 1.0);
            staged[row * KEY_STRIDE + d + 1u] = half_of(operand(which, at + 1u), 1.0);
        }
    }
}

fn stage_lifted_rows(which: u32, noted: u32, place: Place, first: u32, last: u32, lane: u32) {
    var pairs: array<array<Elem4, 2>, PAIR_TURNS>;
    for (var turn = 0u; turn < PAIR_TURNS; turn++) {
        let n = min(turn * WG_SIZE + lane, PAIRS - 1u);
        let row = n / (HEAD_VEC / 2u);
        let at = operand_at(which, place, first, min(row, last - first)) + n % (HEAD_VEC / 2u) * 2u;
        pairs[turn][0] = operand(which, at);
        pairs[turn][1] = operand(which, at + 1u);
    }
    for (var turn = 0u; turn < PAIR_TURNS; turn++) {
        let n = min(turn * WG_SIZE + lane, PAIRS - 1u);
        let magnitude = magnitude_of(widen4(pairs[turn][0]), widen4(pairs[turn][1]));
        note(tile_row(noted, n / (HEAD_VEC / 2u)), magnitude);
    }
    workgroupBarrier();
    for (var turn = 0u; turn < PAIR_TURNS; turn++) {
        let n = turn * WG_SIZE + lane;
        let row = n / (HEAD_VEC / 2u);
        let d = n % (HEAD_VEC / 2u) * 2u;
        if (PAIRS % WG_SIZE == 0u || n < PAIRS) {
            let lift = lift_at(tile_row(noted, row));
            staged[row * KEY_STRIDE + d] = half_of(pairs[turn][0], lift);
            staged[row * KEY_STRIDE + d + 1u] = half_of(pairs[turn][1], lift);
        }
    }
}

// Where what is noted of a row lies: of the tile, and of the owned rows, of the first or second operand.
fn tile_row(noted: u32, row: u32) -> u32 {
    return 2u * OWNED + noted * TILE + row;
}

fn own_row(noted: u32, row: u32) -> u32 {
    return noted * OWNED + row;
}

// The largest magnitude of two vectors; strays have none.
fn magnitude_of(a: vec4<f32>, b: vec4<f32>) -> f32 {
    var magnitude = largest_of(max(abs(a), abs(b)));
    if (any(strays(vec4<f32>(magnitude)))) {
        magnitude = largest_of(max(abs(without_strays(a)), abs(without_strays(b))));
    }
    return magnitude;
}

// A product of rows that were staged under powers of their own.
fn of_powers(product: vec4<f32>, own: f32, theirs: vec4<f32>) -> vec4<f32> {
    // The smaller first: neither leaves the range of numbers where the product does not.
    return product * min(vec4<f32>(own), theirs) * max(vec4<f32>(own), theirs);
}

// Blocks of TILE rows from `first`, those after `last` repeat it, for an invocation to stage by columns. Neighbours have
// neighbouring rows, so that their columns are one.
fn blocks_of(which: u32, place: Place, first: u32, last: u32, lane: u32) -> array<Block, BLOCK_TURNS> {
    var result: array<Block, BLOCK_TURNS>;
    for (var turn = 0u; turn < BLOCK_TURNS; turn++) {
        let n = min(turn * WG_SIZE + lane, BLOCKS - 1u);
        for (var r = 0u; r < 4u; r++) {
            let row = min(n % TILE_VEC * 4u + r, last - first);
            result[turn][r] = operand(which, operand_at(which, place, first, row) + n / TILE_VEC);
        }
    }
    return result;
}

// Notes the rows of blocks, as those of the tile's first or second operand.
fn note_blocks(blocks: ptr<function, array<Block, BLOCK_TURNS>>, noted: u32, lane: u32) {
    for (var turn = 0u; turn < BLOCK_TURNS; turn++) {
        let n = min(turn * WG_SIZE + lane, BLOCKS - 1u);
        for (var r = 0u; r < 4u; r++) {
            let value = widen4((*blocks)[turn][r]);
            note(tile_row(noted, n % TILE_VEC * 4u + r), magnitude_of(value, value));
        }
    }
}

// Stages a tile by columns, and says of a kind of results where there are strays in it: `settle` takes them for 0 before they are
// multiplied. Nobody may still be reading what is staged; where rows have powers, `noted` says which.
fn stage_columns(
    blocks: ptr<function, array<Block, BLOCK_TURNS>>,
    noted: u32,
    kind: u32,
    parity: u32,
    lane: u32,
) {
    // Which no compiler knows to be 0: NaN and infinities times it are NaN, and any other number 0.
    let nothing = f16(f32(params.parts >> 31u));
    for (var turn = 0u; turn < BLOCK_TURNS; turn++) {
        let n = turn * WG_SIZE + lane;
        var half: array<vec4<f16>, 4>;
        for (var r = 0u; r < 4u; r++) {
            half[r] = half_of((*blocks)[turn][r], lift_at(tile_row(noted, n % TILE_VEC * 4u + r)));
        }
        let sum = (half[0] * nothing + half[1] * nothing) + (half[2] * nothing + half[3] * nothing);
        if (strays(vec4<f32>(f32((sum.x + sum.y) + (sum.z + sum.w)))).x) {
            atomicOr(&events[2u * kind + parity], STRAYS);
        }
        if (BLOCKS % WG_SIZE == 0u || n < BLOCKS) {
            let at = n / TILE_VEC * 4u * COLUMN_STRIDE + n % TILE_VEC;
            for (var e = 0u; e < 4u; e++) {
                staged[at + e * COLUMN_STRIDE] = vec4<f16>(half[0][e], half[1][e], half[2][e], half[3][e]);
            }
        }
    }
}

// Takes strays of a tile that is staged by columns for 0, and notes their rows, `first` and on up to `last`.
fn clean_columns(first: u32, last: u32, lane: u32) {
    for (var n = lane; n < params.head_vec * 4u * TILE_VEC; n += WG_SIZE) {
        let at = n / TILE_VEC * COLUMN_STRIDE + n % TILE_VEC;
        let value = vec4<f32>(staged[at]);
        let found = strays(value);
        for (var r = 0u; r < 4u; r++) {
            if (found[r]) {
                meet_stray(min(first + n % TILE_VEC * 4u + r, last));
            }
        }
        staged[at] = vec4<f16>(without_strays(value));
    }
    workgroupBarrier();
}

// Matrix `d` of every owned row. The rows' whole width goes into registers so, one matrix at a time: of several, loads would
// take the place of those that are there already.
fn stage_own(which: u32, noted: u32, place: Place, first: u32, last: u32, d: u32, lane: u32) {
    workgroupBarrier();
    for (var turn = 0u; turn < OWN_TURNS; turn++) {
        let n = turn * WG_SIZE + lane;
        let row = n / (MATRIX / 4u);
        let c = n % (MATRIX / 4u);
        if (OWN_VECTORS % WG_SIZE == 0u || n < OWN_VECTORS) {
            let at = operand_at(which, place, first, min(row, last - first)) + d * (MATRIX / 4u) + c;
            staged[row * OWN_STRIDE + c] = half_of(operand(which, at), lift_at(own_row(noted, row)));
        }
    }
    workgroupBarrier();
}

// Where rows have powers: notes those of the owned ones, for all invocations after a barrier.
fn note_own(which: u32, noted: u32, place: Place, first: u32, last: u32, lane: u32) {
    if (LIFTED) {
        workgroupBarrier();
        for (var n = lane; n < OWNED * HEAD_VEC; n += WG_SIZE) {
            let row = n / HEAD_VEC;
            let value = widen4(operand(which, operand_at(which, place, first, min(row, last - first)) + n % HEAD_VEC));
            note(own_row(noted, row), magnitude_of(value, value));
        }
        workgroupBarrier();
        keep_own_powers(noted, lane);
    }
}

// The rows that a subgroup owns, `first` and on of an operand; rows after `last` repeat it. Subgroups that own none read some
// too: halves that come from a branch would lie in a register each.
fn own_rows(
    result: ptr<function, array<Left, HEAD_MATRICES>>,
    which: u32,
    noted: u32,
    place: Place,
    first: u32,
    last: u32,
    share: Share,
    lane: u32,
) {
    note_own(which, noted, place, first, last, lane);
    for (var d = 0u; d < HEAD_MATRICES; d++) {
        stage_own(which, noted, place, first, last, d, lane);
        (*result)[d] = coopLoadT<Left>(&staged[owned_by(share) * OWN_STRIDE], OWN_STRIDE);
    }
}

// scores = owned rows · the rows of a tile staged by rows. Nobody may still be reading them, and all of the tile is there.
fn multiply_tile(rows: ptr<function, array<Left, HEAD_MATRICES>>, share: Share) {
    loop {
        if (share.wave >= WAVES) {
            break;
        }
        for (var c0 = 0u; c0 < SPAN; c0 += CHAINS) {
            var products = no_products();
            for (var d = 0u; d < HEAD_MATRICES; d++) {
                add_products(&products, (*rows)[d], c0, d);
            }
            store_products(&products, c0, share);
        }
        break;
    }
}

fn no_products() -> array<Sum, CHAINS> {
    var products: array<Sum, CHAINS>;
    for (var c = 0u; c < CHAINS; c++) {
        products[c] = Sum();
    }
    return products;
}

// products += matrix `d` of owned rows · that of CHAINS matrices of a tile's rows, from matrix c0 on.
fn add_products(products: ptr<function, array<Sum, CHAINS>>, rows: Left, c0: u32, d: u32) {
    for (var c = 0u; c < CHAINS; c++) {
        let base = (c0 + c) * MATRIX * KEY_STRIDE + d * (MATRIX / 4u);
        (*products)[c] = coopMultiplyAdd(rows, coopLoad<Right>(&staged[base], KEY_STRIDE), (*products)[c]);
    }
}

fn store_products(products: ptr<function, array<Sum, CHAINS>>, c0: u32, share: Share) {
    for (var c = 0u; c < CHAINS; c++) {
        coopStoreT((*products)[c], &scores[owned_by(share) * SCORE_STRIDE + (c0 + c) * (MATRIX / 4u)], SCORE_STRIDE);
    }
}

// result += weights · the rows of a tile staged by columns.
fn add_tile(result: ptr<function, array<Sum, HEAD_MATRICES>>, share: Share) {
    loop {
        if (share.wave >= WAVES) {
            break;
        }
        for (var c = 0u; c < SPAN; c++) {
            let weight = coopLoadT<Left>(&weights[owned_by(share) * WEIGHT_STRIDE + c * (MATRIX / 4u)], WEIGHT_STRIDE);
            for (var d = 0u; d < HEAD_MATRICES; d++) {
                let base = d * MATRIX * COLUMN_STRIDE + c * (MATRIX / 4u);
                (*result)[d] = coopMultiplyAdd(weight, coopLoad<Right>(&staged[base], COLUMN_STRIDE), (*result)[d]);
            }
        }
        break;
    }
}

// The first tile of keys, from `from_key` and below `end`, of which some row of first..=last sees one; `end` or above where there is
// none. Apart from the loop over tiles, which would have two ways back for it, and copies of matrices on one.
fn seen_from(first: u32, last: u32, from_key: u32, end: u32) -> u32 {
    var j = from_key;
    while (j < end && mask_hides(first, last, j, min(j + TILE, end) - 1u)) {
        j += TILE;
    }
    return j;
}

// Before anything is added: Mesa 25.0 for AMD leaves all numbers but one of an array of matrices unset that nobody assigns.
fn clear(result: ptr<function, array<Sum, HEAD_MATRICES>>) {
    for (var d = 0u; d < HEAD_MATRICES; d++) {
        (*result)[d] = Sum();
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

// Moves results up by one, from the second on, and puts another behind them. As often as there are, it goes through all of them: a
// loop that a driver does not unroll would have to look them up otherwise, for which they would lie in memory from the start.
fn put_last(result: ptr<function, array<Sum, HEAD_MATRICES>>, last: Sum) {
    for (var d = 1u; d < HEAD_MATRICES; d++) {
        (*result)[d - 1u] = (*result)[d];
    }
    (*result)[HEAD_MATRICES - 1u] = last;
}

// Says that a row's results of a kind, 0 or 1, are to be scaled in this tile, `parity` its number's last bit; and readies the
// next tile's word, which nobody reads before a barrier more.
fn raise(any: bool, kind: u32, parity: u32, lane: u32) {
    if (any) {
        atomicOr(&events[2u * kind + parity], RAISED);
    }
    if (lane == 0u) {
        atomicStore(&events[2u * kind + 1u - parity], 0u);
    }
}

// Does what was said of a kind of results before the last barrier: cleans the tile, rows from `first` to `last`, and scales each
// row of results by a factor of its own.
fn settle(
    result: ptr<function, array<Sum, HEAD_MATRICES>>,
    factor: f32,
    kind: u32,
    parity: u32,
    first: u32,
    last: u32,
    share: Share,
) {
    let said = atomicLoad(&events[2u * kind + parity]);
    if ((said & STRAYS) != 0u) {
        clean_columns(first, last, share.lane);
    }
    if ((said & RAISED) != 0u) {
        for (var d = 0u; d < HEAD_MATRICES; d++) {
            put_last(result, scaled((*result)[0], share, factor));
        }
    }
}

// A matrix of results with each of its rows scaled by a factor of its own.
fn scaled(matrix: Sum, share: Share, factor: f32) -> Sum {
    var result = matrix;
    show(matrix, share);
    for (var turn = 0u; turn < MATRIX_SHARE; turn++) {
        let t = sharer_of(share) + turn * SHARERS;
        if (MATRIX / 4u % SHARERS == 0u || t < MATRIX / 4u) {
            scores[row_of(share) * SCORE_STRIDE + t] *= factor;
        }
    }
    workgroupBarrier();
    loop {
        if (share.wave >= WAVES) {
            break;
        }
        result = coopLoadT<Sum>(&scores[owned_by(share) * SCORE_STRIDE], SCORE_STRIDE);
        break;
    }
    return result;
}

// Puts a matrix of results where the invocations that share its rows find them.
fn show(matrix: Sum, share: Share) {
    workgroupBarrier();
    loop {
        if (share.wave >= WAVES) {
            break;
        }
        coopStoreT(matrix, &scores[owned_by(share) * SCORE_STRIDE], SCORE_STRIDE);
        break;
    }
    workgroupBarrier();
}

// Vector t of the invocation's row of a matrix that was shown.
fn shown(share: Share, t: u32) -> vec4<f32> {
    return scores[row_of(share) * SCORE_STRIDE + t];
}

fn largest_of(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn total_of(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
