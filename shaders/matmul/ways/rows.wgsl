// Each invocation computes ROWS rows by TILE_PACKS packs of columns in registers. Neighbouring invocations take
// neighbouring rows, so a workgroup shares every weight: `weight_tile` says how it comes by them.
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
    var acc: array<array<Pack, TILE_PACKS>, ROWS>;
    var acc_before: array<array<Pack, TILE_PACKS>, ROWS>; // of earlier blocks
    var acc_blocks: array<array<Pack, TILE_PACKS>, ROWS>; // of earlier blocks of blocks
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
                acc[r][c] += product(xv[r], block);
            }
        }
        if (BLOCK > 0u && (i + 1u - range.x) % max(BLOCK, 1u) == 0u) {
            for (var r = 0u; r < ROWS; r++) {
                for (var c = 0u; c < TILE_PACKS; c++) {
                    acc_before[r][c] += acc[r][c];
                    acc[r][c] = Pack();
                }
            }
            if (DEEP && (i + 1u - range.x) % max(BLOCK * BLOCK, 1u) == 0u) {
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
            if (row0 + r * WG_SIZE < params.m && pack0 + c < outputs) {
                var sum = acc[r][c];
                if (BLOCK > 0u) {
                    sum += acc_before[r][c];
                }
                if (DEEP) {
                    sum += acc_blocks[r][c];
                }
                store(wg.z, row0 + r * WG_SIZE, pack0 + c, sum);
            }
        }
    }
}
