// dx = r weight g - x r³ / cols Σ(weight g x), r = 1 / sqrt(mean(x²) + eps), over each row; g is dy turned back by the
// token's angle.
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
fn rms_norm_backward(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = wg.y * wgs.x + wg.x;
    if (row < params.rows) {
        let first = row * params.packs;
        let place = rope_place(row);
        var squares = Pack(0.0);
        var products = Pack(0.0);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let v = widen(x[first + i]);
            squares += v * v;
            products += v * weight[i] * rope_back(widen(dy[first + i]), place, i);
        }
        let cols = f32(params.packs * PACK);
        let r = inverseSqrt(reduce_sum(pack_sum(squares), lane) / cols + params.eps);
        let along = reduce_sum(pack_sum(products), lane) * r * r / cols;
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let g = weight[i] * rope_back(widen(dy[first + i]), place, i);
            dx[first + i] = narrow((g - widen(x[first + i]) * along) * r);
        }
    }
}
