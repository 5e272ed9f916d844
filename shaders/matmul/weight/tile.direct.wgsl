// Every invocation reads each vector of the tile itself, when it is wanted.
fn tile_vector(tile: Tile, e: u32) -> vec4<f32> {
    return widen_weight4(w[weight_at(tile.i, tile.pack0, e)]);
}
