// dx = scale y (dy - Σ(y dy)) over each row, y = softmax(scale x).
//
// One workgroup a row.
struct Params {
    rows: u32,
    packs: u32, // of a row
    scale: f32,
}

@group(0) @binding(0) var<storage, read> y: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read> dy: array<ElemPack>; // (rows, cols)
@group(0) @binding(2) var<storage, read_write> dx: array<ElemPack>; // (rows, cols)

@compute @workgroup_size(WG_SIZE)
fn softmax_backward(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = wg.y * wgs.x + wg.x;
    if (row < params.rows) {
        let first = row * params.packs;
        var products = Pack(0.0);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            products += widen(y[first + i]) * widen(dy[first + i]);
        }
        let delta = reduce_sum(pack_sum(products), lane);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            dx[first + i] = narrow(params.scale * widen(y[first + i]) * (widen(dy[first + i]) - delta));
        }
    }
}
