// A workgroup of SIDE × SIDE invocations computes a tile of TILE_M rows by TILE_N packs of columns; both factors pass
// through workgroup memory, a slab of the inner size at a time. An invocation owns rows y, y + SIDE, … and packs
// x, x + SIDE, …
const TILE_M: u32 = SIDE * ROWS;
const TILE_N: u32 = SIDE * TILE_PACKS;
const OWNED: u32 = TILE_PACKS;
// Vectors of a slab.
const SLAB: u32 = 2u;

var<workgroup> left: array<vec4<f32>, SLAB * TILE_M>; // (SLAB, TILE_M)
var<workgroup> right: array<vec4<f32>, SLAB * PACK * TILE_N>; // (SLAB, PACK, TILE_N): vectors of a block

fn multiply(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let outputs = params.n / PACK;
    let column = lane % SIDE;
    let y = lane / SIDE;
    let row0 = wg.y * TILE_M;
    let pack0 = wg.x * TILE_N;
    var sums: Sums;
    let range = inputs_of_part(wg.z);
    for (var i = range.x; i < range.y; i += SLAB) {
        workgroupBarrier();
        // Past the inner size both factors are zero: zero times what lies there might be none.
        for (var at = lane; at < SLAB * TILE_M; at += WG_SIZE) {
            let d = at % SLAB;
            let row = min(row0 + at / SLAB, params.m - 1u);
            var value = Pack();
            if (i + d < range.y) {
                value = widen(x[x_at(row, i + d)]);
            }
            left[d * TILE_M + at / SLAB] = value;
        }
        for (var at = lane; at < SLAB * PACK * TILE_N; at += WG_SIZE) {
            let place = weight_order(at); // vector of the slab, of the tile
            var value = vec4<f32>();
            if (i + place.x < range.y) {
                value = widen_weight4(w[weight_at(i + place.x, pack0, place.y)]);
            }
            right[(place.x * PACK + place.y % PACK) * TILE_N + place.y / PACK] = value;
        }
        workgroupBarrier();
        for (var d = 0u; d < SLAB; d++) {
            var xv: array<Pack, ROWS>;
            for (var r = 0u; r < ROWS; r++) {
                xv[r] = left[d * TILE_M + y + r * SIDE];
            }
            for (var c = 0u; c < TILE_PACKS; c++) {
                let at = d * PACK * TILE_N + column + c * SIDE;
                let block = Block(right[at], right[at + TILE_N], right[at + 2u * TILE_N], right[at + 3u * TILE_N]);
                for (var r = 0u; r < ROWS; r++) {
                    sums.block[r][c] += product(xv[r], block);
                }
            }
        }
        close_blocks(&sums, i + SLAB - range.x);
    }
    finish(&sums);
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < TILE_PACKS; c++) {
            let row = row0 + y + r * SIDE;
            let pack = pack0 + column + c * SIDE;
            let value = take_sum(&sums);
            if (row < params.m && pack < outputs) {
                store(wg.z, row, pack, value);
            }
        }
    }
}
