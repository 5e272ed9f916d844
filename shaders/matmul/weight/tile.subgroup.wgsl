// The invocations of a workgroup, which is exactly one subgroup, read the vectors of the tile between them and hand them
// round: a tile is read once a workgroup, and no load stands between the products.
const TILE_READS: u32 = TILE_PACKS * PACK / WG_SIZE;
alias Tile = array<vec4<f32>, TILE_READS>;

fn weight_tile(i: u32, pack0: u32, lane: u32) -> Tile {
    var tile: Tile;
    for (var n = 0u; n < TILE_READS; n++) {
        tile[n] = widen_weight4(w[weight_at(i, pack0, n * WG_SIZE + lane)]);
    }
    return tile;
}

fn tile_vector(tile: Tile, e: u32) -> vec4<f32> {
    return subgroupShuffle(tile[e / WG_SIZE], e % WG_SIZE);
}
