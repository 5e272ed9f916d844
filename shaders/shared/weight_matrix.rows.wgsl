// Matrices of weights (n, k): staged row by row, (TILE_N, DEPTH), and read column by column.
const RIGHT_STRIDE: u32 = DEPTH + 8u;
const RIGHT_SIZE: u32 = TILE_N * RIGHT_STRIDE;

fn stage_weight(at: u32, i: u32, pack0: u32) {
    let e = at / (DEPTH / PACK);
    let d = at % (DEPTH / PACK);
    let value = w[weight_at(min(i + d, params.k / PACK - 1u), pack0, e)];
    let to = e * RIGHT_STRIDE + d * PACK;
    right[to] = value.x;
    right[to + 1u] = value.y;
    right[to + 2u] = value.z;
    right[to + 3u] = value.w;
}

fn weight_matrix(d: u32, column: u32) -> Right {
    return coopLoad<Right>(&right[column * RIGHT_STRIDE + d], RIGHT_STRIDE);
}
