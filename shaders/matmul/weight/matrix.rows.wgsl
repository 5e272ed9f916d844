// Matrices of weights (n, k): staged row by row, (TILE_N, DEPTH), and read column by column.
const RIGHT_STRIDE: u32 = DEPTH / PACK + 2u;
const RIGHT_SIZE: u32 = TILE_N * RIGHT_STRIDE;

fn stage_weight(at: u32, i: u32, end: u32, pack0: u32) {
    let e = at / (DEPTH / PACK);
    let d = at % (DEPTH / PACK);
    var value = Weight4();
    if (i + d < end) {
        value = w[weight_at(i + d, pack0, e)];
    }
    right[e * RIGHT_STRIDE + d] = value;
}

fn weight_matrix(d: u32, column: u32) -> Right {
    return coopLoad<Right>(&right[column * RIGHT_STRIDE + d / PACK], RIGHT_STRIDE);
}
