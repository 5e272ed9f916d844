// A workgroup of SIDE × SIDE invocations computes a tile of TILE_M rows by TILE_N packs of columns; both factors pass
// through workgroup memory, PARTS vectors of the inner size at a time. An invocation owns rows y, y + SIDE, … and packs
// x, x + SIDE, …
const TILE_M: u32 = SIDE * ROWS;
const TILE_N: u32 = SIDE * TILE_PACKS;
const PARTS: u32 = 2u;

var<workgroup> left: array<vec4<f32>, PARTS * TILE_M>; // (PARTS, TILE_M)
var<workgroup> right: array<vec4<f32>, PARTS * PACK * TILE_N>; // (PARTS, PACK, TILE_N): vectors of a block

fn multiply(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let outputs = params.n / PACK;
    let column = lane % SIDE;
    let y = lane / SIDE;
    let row0 = wg.y * TILE_M;
    let pack0 = wg.x * TILE_N;
    var acc: array<array<Pack, TILE_PACKS>, ROWS>;
    var acc_before: array<array<Pack, TILE_PACKS>, ROWS>; // of earlier blocks
    var acc_blocks: array<array<Pack, TILE_PACKS>, ROWS>; // of earlier blocks of blocks
    let range = inputs_of_part(wg.z);
    for (var i = range.x; i < range.y; i += PARTS) {
        workgroupBarrier();
        // Past the inner size both factors are zero: zero times what lies there might be none.
        for (var at = lane; at < PARTS * TILE_M; at += WG_SIZE) {
            let d = at % PARTS;
            let row = min(row0 + at / PARTS, params.m - 1u);
            var value = Pack();
            if (i + d < range.y) {
                value = widen(x[x_at(row, i + d)]);
            }
            left[d * TILE_M + at / PARTS] = value;
        }
        for (var at = lane; at < PARTS * PACK * TILE_N; at += WG_SIZE) {
            let place = weight_order(at); // part, vector of the tile
            var value = vec4<f32>();
            if (i + place.x < range.y) {
                value = widen_weight4(w[weight_at(i + place.x, pack0, place.y)]);
            }
            right[(place.x * PACK + place.y % PACK) * TILE_N + place.y / PACK] = value;
        }
        workgroupBarrier();
        for (var d = 0u; d < PARTS; d++) {
            var xv: array<Pack, ROWS>;
            for (var r = 0u; r < ROWS; r++) {
                xv[r] = left[d * TILE_M + y + r * SIDE];
            }
            for (var c = 0u; c < TILE_PACKS; c++) {
                let at = d * PACK * TILE_N + column + c * SIDE;
                let block = Block(right[at], right[at + TILE_N], right[at + 2u * TILE_N], right[at + 3u * TILE_N]);
                for (var r = 0u; r < ROWS; r++) {
                    acc[r][c] += product(xv[r], block);
                }
            }
        }
        if (BLOCK > 0u && (i + PARTS - range.x) % max(BLOCK, 1u) == 0u) {
            for (var r = 0u; r < ROWS; r++) {
                for (var c = 0u; c < TILE_PACKS; c++) {
                    acc_before[r][c] += acc[r][c];
                    acc[r][c] = Pack();
                }
            }
            if (DEEP && (i + PARTS - range.x) % max(BLOCK * BLOCK, 1u) == 0u) {
                for (var r = 0u; r < ROWS; r++) {
                    for (var c = 0u; c < TILE_PACKS; c++) {
                        acc_blocks[r][c] += acc_before[r][c];
                        acc_before[r][c] = Pack();
                    }
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < TILE_PACKS; c++) {
            let row = row0 + y + r * SIDE;
            let pack = pack0 + column + c * SIDE;
            if (row < params.m && pack < outputs) {
                var sum = acc[r][c];
                if (BLOCK > 0u) {
                    sum += acc_before[r][c];
                }
                if (DEEP) {
                    sum += acc_blocks[r][c];
                }
                store(wg.z, row, pack, sum);
            }
        }
    }
}
