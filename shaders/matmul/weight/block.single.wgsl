// One weight.
alias Block = f32;

fn weight_block(tile: Tile, c: u32) -> Block {
    return f32(w[weight_at(tile.i, tile.pack0, c)]);
}
