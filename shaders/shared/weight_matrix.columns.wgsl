// Matrices of weights (k, n): staged row by row, (DEPTH, TILE_N).
const RIGHT_STRIDE: u32 = TILE_N + 8u;
const RIGHT_SIZE: u32 = DEPTH * RIGHT_STRIDE;

fn stage_weight(at: u32, i: u32, pack0: u32) {
    let row = at / (TILE_N / PACK);
    let pack = at % (TILE_N / PACK);
    let value = w[weight_at(min(i + row / PACK, params.k / PACK - 1u), pack0, pack * PACK + row % PACK)];
    let to = row * RIGHT_STRIDE + pack * PACK;
    right[to] = value.x;
    right[to + 1u] = value.y;
    right[to + 2u] = value.z;
    right[to + 3u] = value.w;
}

fn weight_matrix(d: u32, column: u32) -> Right {
    return coopLoadT<Right>(&right[d * RIGHT_STRIDE + column], RIGHT_STRIDE);
}
