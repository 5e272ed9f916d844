// Where a tile of weights lies, for those who read it themselves.
struct Tile {
    i: u32,
    pack0: u32,
}

fn weight_tile(i: u32, pack0: u32, lane: u32) -> Tile {
    return Tile(i, pack0);
}
