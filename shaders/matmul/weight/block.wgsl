// Weights of four inputs by four outputs: vectors 4c to 4c + 3 of a tile.

fn weight_block(tile: Tile, c: u32) -> Block {
    let e = c * PACK;
    return Block(
        tile_vector(tile, e),
        tile_vector(tile, e + 1u),
        tile_vector(tile, e + 2u),
        tile_vector(tile, e + 3u),
    );
}
