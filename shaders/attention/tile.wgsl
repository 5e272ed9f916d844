// Products of tiles by a workgroup of SIDE × SIDE invocations, x fastest. A tile of scores has OWNED rows and TILE columns;
// an invocation owns OWN rows y, y + SIDE, … and four columns x, x + SIDE, …. `operand(which, place, row, d)` reads
// the kernel's tensors. Within 16 KiB of workgroup memory for heads up to 512 / SIDE vectors wide.
const OWNED: u32 = OWN * SIDE;
const TILE: u32 = 4u * SIDE;
// Vectors of a slab.
const SLAB: u32 = 4u;
// Vectors of a result's row that an invocation owns: x, x + SIDE, …
const COLUMNS: u32 = (HEAD_VEC + SIDE - 1u) / SIDE;
// Vectors of a slab and of SIDE rows that an invocation stages: loops of constant counts are unrolled, and their loads go out
// together.
const LEFT_TURNS: u32 = (SLAB * OWNED + WG_SIZE - 1u) / WG_SIZE;
const RIGHT_TURNS: u32 = (SLAB * TILE + WG_SIZE - 1u) / WG_SIZE;
const ROW_TURNS: u32 = (SIDE * HEAD_VEC + WG_SIZE - 1u) / WG_SIZE;
// Tiles of which one sum is taken, where there are many, LONG.
const BLOCK_TILES: u32 = 16u;

// Slabs of the left and the right operand of a product of rows by rows, (SLAB, OWNED) and (SLAB, TILE); or SIDE whole rows of one
// operand.
var<workgroup> stage: array<vec4<f32>, max(SLAB * (OWNED + TILE), SIDE * HEAD_VEC)>;
const RIGHT_SLAB: u32 = SLAB * OWNED;
// The owned rows' numbers of every invocation.
var<workgroup> shared_rows: array<Rows, SIDE * SIDE>;

// Rows of an operand from `first`; those after `last` repeat it.
struct Side {
    which: u32,
    first: u32,
    last: u32,
}

// Vector n of the slab of a side's rows that begins at vector d0, rows slowest.
fn of_slab(side: Side, place: Place, d0: u32, n: u32) -> vec4<f32> {
    let d = n % SLAB;
    let row = min(side.first + n / SLAB, side.last);
    let there = operand(side.which, place, row, min(d0 + d, HEAD_VEC - 1u));
    return select(vec4<f32>(), there, HEAD_VEC % SLAB == 0u || d0 + d < HEAD_VEC);
}

fn stage_left(side: Side, place: Place, d0: u32, lane: u32) {
    for (var turn = 0u; turn < LEFT_TURNS; turn++) {
        let n = turn * WG_SIZE + lane;
        let vector = of_slab(side, place, d0, n);
        if (SLAB * OWNED % WG_SIZE == 0u || n < SLAB * OWNED) {
            stage[n % SLAB * OWNED + n / SLAB] = vector;
        }
    }
}

fn stage_right(side: Side, place: Place, d0: u32, lane: u32) {
    for (var turn = 0u; turn < RIGHT_TURNS; turn++) {
        let n = turn * WG_SIZE + lane;
        let vector = of_slab(side, place, d0, n);
        if (SLAB * TILE % WG_SIZE == 0u || n < SLAB * TILE) {
            stage[RIGHT_SLAB + n % SLAB * TILE + n / SLAB] = vector;
        }
    }
}

// SIDE whole rows of a side after the first `skipped`, strays taken for 0.
fn stage_rows(side: Side, skipped: u32, place: Place, lane: u32) {
    for (var turn = 0u; turn < ROW_TURNS; turn++) {
        let n = turn * WG_SIZE + lane;
        if (SIDE * HEAD_VEC % WG_SIZE == 0u || n < SIDE * HEAD_VEC) {
            let row = min(side.first + skipped + n / HEAD_VEC, side.last);
            let value = operand(side.which, place, row, n % HEAD_VEC);
            stage[n] = without_strays(value);
            if (any(strays(value))) {
                meet_stray(row);
            }
        }
    }
}

// result[r][c] += left row · right row over the slabs that begin at vector d0.
fn multiply_slabs(
    result: ptr<function, array<vec4<f32>, OWN>>,
    left: Side,
    right: Side,
    place: Place,
    d0: u32,
    lane: u32,
) {
    workgroupBarrier();
    stage_left(left, place, d0, lane);
    stage_right(right, place, d0, lane);
    workgroupBarrier();
    multiply_staged(result, lane % SIDE, lane / SIDE);
}

// The same over the staged slabs.
fn multiply_staged(result: ptr<function, array<vec4<f32>, OWN>>, x: u32, y: u32) {
    for (var d = 0u; d < SLAB; d++) {
        var left: array<vec4<f32>, OWN>;
        for (var r = 0u; r < OWN; r++) {
            left[r] = stage[d * OWNED + y + r * SIDE];
        }
        for (var c = 0u; c < 4u; c++) {
            let right = stage[RIGHT_SLAB + d * TILE + x + c * SIDE];
            for (var r = 0u; r < OWN; r++) {
                (*result)[r][c] += dot(left[r], right);
            }
        }
    }
}

// result[r] += weights[r] of columns c · SIDE and on, SIDE of them · those rows of a side, of which strays are taken for 0.
fn add_rows(
    result: ptr<function, array<array<vec4<f32>, COLUMNS>, OWN>>,
    weights: ptr<function, array<vec4<f32>, OWN>>,
    c: u32,
    side: Side,
    place: Place,
    lane: u32,
) {
    let x = lane % SIDE;
    let y = lane / SIDE;
    var of_column: Rows;
    for (var r = 0u; r < OWN; r++) {
        of_column[r] = (*weights)[r][c];
    }
    workgroupBarrier();
    shared_rows[x * SIDE + y] = of_column;
    stage_rows(side, c * SIDE, place, lane);
    workgroupBarrier();
    multiply_rows(result, x, y);
}

// result[r] += shared_rows of SIDE columns · the staged rows, for the invocation's vectors of the row.
fn multiply_rows(result: ptr<function, array<array<vec4<f32>, COLUMNS>, OWN>>, x: u32, y: u32) {
    for (var t = 0u; t < SIDE; t++) {
        let weight = shared_rows[t * SIDE + y];
        for (var n = 0u; n < COLUMNS; n++) {
            let value = stage[t * HEAD_VEC + min(x + n * SIDE, HEAD_VEC - 1u)];
            for (var r = 0u; r < OWN; r++) {
                (*result)[r][n] += weight[r] * value;
            }
        }
    }
}

// sum += block, which begins anew.
fn add_block(
    sum: ptr<function, array<array<vec4<f32>, COLUMNS>, OWN>>,
    block: ptr<function, array<array<vec4<f32>, COLUMNS>, OWN>>,
) {
    for (var r = 0u; r < OWN; r++) {
        for (var n = 0u; n < COLUMNS; n++) {
            (*sum)[r][n] += (*block)[r][n];
            (*block)[r][n] = vec4<f32>();
        }
    }
}

// Takes the first vector of results, row by row; the others move up. A loop over them that is too long for a driver to unroll
// would have to look them up otherwise, for which they would lie in memory from the start.
fn take_vector(results: ptr<function, array<array<vec4<f32>, COLUMNS>, OWN>>) -> vec4<f32> {
    let first = (*results)[0][0];
    for (var n = 1u; n < OWN * COLUMNS; n++) {
        (*results)[(n - 1u) / COLUMNS][(n - 1u) % COLUMNS] = (*results)[n / COLUMNS][n % COLUMNS];
    }
    return first;
}

// Maximum or sum of each row over the invocations that own columns of it. Nobody may still be reading `shared_rows` when
// a maximum is asked for.
fn row_max(value: Rows, x: u32, y: u32) -> Rows {
    shared_rows[y * SIDE + x] = value;
    workgroupBarrier();
    var result = value;
    for (var s = 0u; s < SIDE; s++) {
        result = max(result, shared_rows[y * SIDE + s]);
    }
    return result;
}

fn row_sum(value: Rows, x: u32, y: u32) -> Rows {
    workgroupBarrier();
    shared_rows[y * SIDE + x] = value;
    workgroupBarrier();
    var result = Rows();
    for (var s = 0u; s < SIDE; s++) {
        result += shared_rows[y * SIDE + s];
    }
    return result;
}
