// Matrices of weights (k, n): staged row by row, (DEPTH, TILE_N).
const RIGHT_STRIDE: u32 = TILE_N / PACK + 2u;
const RIGHT_SIZE: u32 = DEPTH * RIGHT_STRIDE;

fn stage_weight(at: u32, i: u32, end: u32, pack0: u32) {
    let row = at / (TILE_N / PACK);
    let pack = at % (TILE_N / PACK);
    var value = Weight4();
    if (i + row / PACK < end) {
        value = w[weight_at(i + row / PACK, pack0, pack * PACK + row % PACK)];
    }
    right[row * RIGHT_STRIDE + pack] = value;
}

fn weight_matrix(d: u32, column: u32) -> Right {
    return coopLoadT<Right>(&right[d * RIGHT_STRIDE + column / PACK], RIGHT_STRIDE);
}
