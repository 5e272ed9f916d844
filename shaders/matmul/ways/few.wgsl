// Few rows: a workgroup computes all of them, at most ROWS, for TILE_PACKS packs of columns. SHARERS invocations share the
// inner size of a pack, so that a row keeps many of them busy and every weight is read once; their sums meet at the end.
const OWNED: u32 = 1u;
const SHARERS: u32 = WG_SIZE / TILE_PACKS;

var<workgroup> shares: array<Pack, ROWS * WG_SIZE>; // (ROWS, TILE_PACKS, SHARERS)

fn multiply(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    // Neighbouring invocations read neighbouring weights.
    let sharer = select(lane / TILE_PACKS, lane % SHARERS, ALONG_INPUTS);
    let own = select(lane % TILE_PACKS, lane / SHARERS, ALONG_INPUTS);
    let pack0 = wg.x * TILE_PACKS;
    let row0 = wg.y * ROWS;
    var sums: Sums;
    let range = inputs_of_part(wg.z);
    var packs = 0u;
    for (var i = range.x + sharer; i < range.y; i += SHARERS) {
        let block = weight_block(weight_tile(i, pack0 + own, lane), 0u);
        for (var r = 0u; r < ROWS; r++) {
            sums.block[r][0] += product(widen(x[x_at(min(row0 + r, params.m - 1u), i)]), block);
        }
        packs++;
        close_blocks(&sums, packs);
    }
    for (var r = 0u; r < ROWS; r++) {
        shares[r * WG_SIZE + own * SHARERS + sharer] = sum_of(&sums, r, 0u);
    }
    workgroupBarrier();
    for (var at = lane; at < ROWS * TILE_PACKS; at += WG_SIZE) {
        let row = row0 + at / TILE_PACKS;
        let pack = pack0 + at % TILE_PACKS;
        var total = Pack();
        for (var s = 0u; s < SHARERS; s++) {
            total += shares[at * SHARERS + s];
        }
        if (row < params.m && pack < params.n / PACK) {
            store(wg.z, row, pack, total);
        }
    }
}
