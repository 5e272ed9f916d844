// Each invocation computes ROWS rows by TILE_PACKS packs of columns in registers. Neighbouring invocations take
// neighbouring rows, so a workgroup shares every weight: `weight_tile` says how it comes by them.
const OWNED: u32 = TILE_PACKS;

fn multiply(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let outputs = params.n / PACK;
    let pack0 = wg.x * TILE_PACKS;
    // Row r of an invocation lies WG_SIZE rows after row r - 1: stores of a workgroup stay close together.
    let row0 = wg.y * WG_SIZE * ROWS + lane;
    var start: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        start[r] = x_at(min(row0 + r * WG_SIZE, params.m - 1u), 0u);
    }
    var sums: Sums;
    let range = inputs_of_part(wg.z);
    for (var i = range.x; i < range.y; i++) {
        var xv: array<Pack, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            xv[r] = widen(x[start[r] + i]);
        }
        let tile = weight_tile(i, pack0, lane);
        for (var c = 0u; c < TILE_PACKS; c++) {
            let block = weight_block(tile, c);
            for (var r = 0u; r < ROWS; r++) {
                sums.block[r][c] += product(xv[r], block);
            }
        }
        close_blocks(&sums, i + 1u - range.x);
    }
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < TILE_PACKS; c++) {
            if (row0 + r * WG_SIZE < params.m && pack0 + c < outputs) {
                store(wg.z, row0 + r * WG_SIZE, pack0 + c, sum_of(&sums, r, c));
            }
        }
    }
}
