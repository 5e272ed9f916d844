// dx = r (dy - r² x Σ x dy), r = 1 / sqrt(Σ x² + EPS), over each row.
//
// One workgroup a row.
struct Params {
    rows: u32,
    packs: u32, // of a row
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read> dy: array<ElemPack>; // (rows, cols)
@group(0) @binding(2) var<storage, read_write> dx: array<ElemPack>; // (rows, cols)

const EPS: f32 = 1e-12;

@compute @workgroup_size(WG_SIZE)
fn unit_rows_backward(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = wg.y * wgs.x + wg.x;
    if (row < params.rows) {
        let first = row * params.packs;
        var squares = Pack(0.0);
        var products = Pack(0.0);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let v = widen(x[first + i]);
            squares += v * v;
            products += v * widen(dy[first + i]);
        }
        let inverse = inverseSqrt(reduce_sum(pack_sum(squares), lane) + EPS);
        let along = reduce_sum(pack_sum(products), lane) * inverse * inverse;
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            dx[first + i] = narrow((widen(dy[first + i]) - widen(x[first + i]) * along) * inverse);
        }
    }
}
