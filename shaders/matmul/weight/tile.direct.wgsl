// Every invocation reads each vector of the tile itself, when it is wanted.
struct Tile {
    i: u32,
    pack0: u32,
}

fn weight_tile(i: u32, pack0: u32, lane: u32) -> Tile {
    return Tile(i, pack0);
}

fn tile_vector(tile: Tile, e: u32) -> vec4<f32> {
    return widen_weight4(w[weight_at(tile.i, tile.pack0, e)]);
}
