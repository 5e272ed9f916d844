// dx = r (weight g - xhat mean(weight g xhat)), xhat = r x, r = 1 / sqrt(mean(x²) + eps), over each row; g is dy turned back
// by the token's angle.
//
// One workgroup a row.
struct Params {
    rows: u32,
    packs: u32, // of a row
    eps: f32,
    head_pairs: u32, // head_dim / 2
    frames: u32,
    height: u32,
    width: u32,
    first_token: u32, // token of row 0
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read> weight: array<Pack>; // (cols)
@group(0) @binding(2) var<storage, read> dy: array<ElemPack>; // (rows, cols)
@group(0) @binding(3) var<storage, read_write> dx: array<ElemPack>; // (rows, cols)

@compute @workgroup_size(WG_SIZE)
fn rms_norm_backward(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    if (row < params.rows) {
        let first = row * params.packs;
        let place = rope_place(row);
        let m = row_magnitude(first, lane);
        var products = Pack(0.0);
        for (var start = lane; start < params.packs; start += WG_SIZE * BLOCK) {
            var block = Pack(0.0);
            for (var i = start; i < min(start + WG_SIZE * BLOCK, params.packs); i += WG_SIZE) {
                block += normed(m, widen(x[first + i])) * weight[i] * rope_back(widen(dy[first + i]), place, i);
            }
            products += block;
        }
        let along = reduce_sum(pack_sum(products), lane) / f32(params.packs * PACK);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let g = weight[i] * rope_back(widen(dy[first + i]), place, i);
            dx[first + i] = narrow((g - normed(m, widen(x[first + i])) * along) * m.inverse * m.unit);
        }
    }
}
