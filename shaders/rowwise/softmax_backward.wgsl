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

// Packs of which an invocation takes one sum: many terms that are alike, added one by one, lose the same digit each time.
const BLOCK: u32 = 128u;

@compute @workgroup_size(WG_SIZE)
fn softmax_backward(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    if (row < params.rows) {
        let first = row * params.packs;
        var products = Pack(0.0);
        for (var start = lane; start < params.packs; start += WG_SIZE * BLOCK) {
            var block = Pack(0.0);
            for (var i = start; i < min(start + WG_SIZE * BLOCK, params.packs); i += WG_SIZE) {
                block += widen(y[first + i]) * widen(dy[first + i]);
            }
            products += block;
        }
        let delta = reduce_sum(pack_sum(products), lane);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            dx[first + i] = narrow(params.scale * widen(y[first + i]) * (widen(dy[first + i]) - delta));
        }
    }
}
