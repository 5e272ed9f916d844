// y = rope(x weight / sqrt(mean(x²) + eps)) over each row; rope turns the pairs of each head by the token's angle, or
// does nothing.
//
// One workgroup a row. The mean goes over the whole row, all heads together.
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
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (rows, cols)

@compute @workgroup_size(WG_SIZE)
fn rms_norm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    if (row < params.rows) {
        let first = row * params.packs;
        let m = row_magnitude(first, lane);
        let place = rope_place(row);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            y[first + i] = narrow(rope(normed(m, widen(x[first + i])) * weight[i], place, i));
        }
    }
}
