// Products by invocations that own ROWS rows each. They read a tile of WG_SIZE of what the rows meet between them, one each,
// and hand its vectors round: a tile is read once a workgroup, which is exactly one subgroup, and no load stands between the
// products. Loops over a head end at a bound, `vectors`, that is HEAD_VEC or a parameter of its value.
//
// Sums are taken of a tile, of BLOCK_TILES tiles, and where there are many, LONG, of blocks: many equal terms, such as
// padding's, added one by one to a large sum lose the same digit each time.
const BLOCK_TILES: u32 = 128u;

// result[r][t] += vector d of own row r · that of the tile's t, of which `mine` is the invocation's.
fn multiply_round(
    result: ptr<function, array<array<f32, WG_SIZE>, ROWS>>,
    rows: ptr<function, array<array<vec4<f32>, HEAD_VEC>, ROWS>>,
    d: u32,
    mine: vec4<f32>,
) {
    for (var t = 0u; t < WG_SIZE; t++) {
        let met = subgroupShuffle(mine, t);
        for (var r = 0u; r < ROWS; r++) {
            (*result)[r][t] += dot((*rows)[r][d], met);
        }
    }
}

// Vector d of result[r] += weights[r] · the tile's, of which `mine` is the invocation's.
fn add_round(
    result: ptr<function, array<array<vec4<f32>, HEAD_VEC>, ROWS>>,
    weights: ptr<function, array<array<f32, WG_SIZE>, ROWS>>,
    d: u32,
    mine: vec4<f32>,
) {
    var sum: array<vec4<f32>, ROWS>; // of the tile
    for (var t = 0u; t < WG_SIZE; t++) {
        let met = subgroupShuffle(mine, t);
        for (var r = 0u; r < ROWS; r++) {
            sum[r] += (*weights)[r][t] * met;
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        (*result)[r][d] += sum[r];
    }
}

// sum += block, which begins anew.
fn add_block(
    sum: ptr<function, array<array<vec4<f32>, HEAD_VEC>, ROWS>>,
    block: ptr<function, array<array<vec4<f32>, HEAD_VEC>, ROWS>>,
    vectors: u32,
) {
    for (var r = 0u; r < ROWS; r++) {
        for (var d = 0u; d < vectors; d++) {
            (*sum)[r][d] += (*block)[r][d];
            (*block)[r][d] = vec4<f32>();
        }
    }
}
