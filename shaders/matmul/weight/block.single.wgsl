// One weight.
alias Block = f32;

struct Tile {
    i: u32,
    pack0: u32,
}

fn weight_tile(i: u32, pack0: u32, lane: u32) -> Tile {
    return Tile(i, pack0);
}

fn weight_block(tile: Tile, c: u32) -> Block {
    return f32(w[weight_at(tile.i, tile.pack0, c)]);
}
