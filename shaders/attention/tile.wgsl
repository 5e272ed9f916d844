// Products of tiles by a workgroup of SIDE × SIDE invocations, x fastest. A tile of scores has TILE rows and TILE columns;
// an invocation owns rows y, y + SIDE, … and columns x, x + SIDE, …, four of each. `operand(which, place, row, d)` reads
// the kernel's tensors. Within 16 KiB of workgroup memory for heads up to 512 / SIDE vectors wide.
const TILE: u32 = 4u * SIDE;
// Vectors of the inner size that are staged at a time.
const PARTS: u32 = 4u;
// Vectors of a result's row that an invocation owns: x, x + SIDE, …
const COLUMNS: u32 = (HEAD_VEC + SIDE - 1u) / SIDE;
// Tiles of which one sum is taken, where there are many, LONG.
const BLOCK_TILES: u32 = 16u;

// Left and right operand of a product of rows by rows, (2, PARTS, TILE); or SIDE whole rows of one operand.
var<workgroup> stage: array<vec4<f32>, max(2u * PARTS * TILE, SIDE * HEAD_VEC)>;
// Four rows' numbers of every invocation.
var<workgroup> shared_rows: array<vec4<f32>, SIDE * SIDE>;
// Rows among which strays were met.
var<workgroup> stray_first: atomic<u32>;
var<workgroup> stray_end: atomic<u32>;

// Vectors d0 to d0 + PARTS of TILE rows from `first`; rows after `last` repeat it.
fn stage_side(which: u32, side: u32, place: Place, first: u32, last: u32, d0: u32, lane: u32) {
    for (var n = lane; n < PARTS * TILE; n += WG_SIZE) {
        let d = n % PARTS;
        let row = n / PARTS;
        var value = vec4<f32>();
        if (d0 + d < HEAD_VEC) {
            value = operand(which, place, min(first + row, last), d0 + d);
        }
        stage[(side * PARTS + d) * TILE + row] = value;
    }
}

// Before anything is staged by `stage_rows`, with a barrier between.
fn expect_no_strays(lane: u32) {
    if (lane == 0u) {
        atomicStore(&stray_first, NO_STRAYS.x);
        atomicStore(&stray_end, NO_STRAYS.y);
    }
}

// SIDE whole rows from `first`, strays taken for 0; rows after `last` repeat it.
fn stage_rows(which: u32, place: Place, first: u32, last: u32, lane: u32) {
    for (var n = lane; n < SIDE * HEAD_VEC; n += WG_SIZE) {
        let row = min(first + n / HEAD_VEC, last);
        let value = operand(which, place, row, n % HEAD_VEC);
        stage[n] = without_strays(value);
        if (any(strays(value))) {
            atomicMin(&stray_first, row);
            atomicMax(&stray_end, row + 1u);
        }
    }
}

// Rows among which strays were met, for all invocations.
fn met_strays() -> vec2<u32> {
    workgroupBarrier();
    return vec2<u32>(atomicLoad(&stray_first), atomicLoad(&stray_end));
}

// result[r][c] += left row · right row over the staged vectors.
fn multiply_sides(result: ptr<function, array<vec4<f32>, 4>>, x: u32, y: u32) {
    for (var d = 0u; d < PARTS; d++) {
        let at = (PARTS + d) * TILE + x;
        let r0 = stage[at];
        let r1 = stage[at + SIDE];
        let r2 = stage[at + 2u * SIDE];
        let r3 = stage[at + 3u * SIDE];
        for (var r = 0u; r < 4u; r++) {
            let l = stage[d * TILE + y + r * SIDE];
            (*result)[r] += vec4<f32>(dot(l, r0), dot(l, r1), dot(l, r2), dot(l, r3));
        }
    }
}

// result[r] += shared_rows of SIDE columns · the staged rows, for the invocation's vectors of the row.
fn multiply_rows(result: ptr<function, array<array<vec4<f32>, COLUMNS>, 4>>, x: u32, y: u32) {
    for (var t = 0u; t < SIDE; t++) {
        let weight = shared_rows[t * SIDE + y];
        for (var n = 0u; n < COLUMNS; n++) {
            let value = stage[t * HEAD_VEC + min(x + n * SIDE, HEAD_VEC - 1u)];
            for (var r = 0u; r < 4u; r++) {
                (*result)[r][n] += weight[r] * value;
            }
        }
    }
}

// before += result, which begins anew.
fn close_block(
    before: ptr<function, array<array<vec4<f32>, COLUMNS>, 4>>,
    result: ptr<function, array<array<vec4<f32>, COLUMNS>, 4>>,
) {
    for (var r = 0u; r < 4u; r++) {
        for (var n = 0u; n < COLUMNS; n++) {
            (*before)[r][n] += (*result)[r][n];
            (*result)[r][n] = vec4<f32>();
        }
    }
}

// Maximum or sum of each row over the invocations that own parts of it. Nobody may still be reading `shared_rows` when
// a maximum is asked for.
fn row_max(value: vec4<f32>, x: u32, y: u32) -> vec4<f32> {
    shared_rows[y * SIDE + x] = value;
    workgroupBarrier();
    var result = value;
    for (var s = 0u; s < SIDE; s++) {
        result = max(result, shared_rows[y * SIDE + s]);
    }
    return result;
}

fn row_sum(value: vec4<f32>, x: u32, y: u32) -> vec4<f32> {
    workgroupBarrier();
    shared_rows[y * SIDE + x] = value;
    workgroupBarrier();
    var result = vec4<f32>();
    for (var s = 0u; s < SIDE; s++) {
        result += shared_rows[y * SIDE + s];
    }
    return result;
}
