// y = x / sqrt(Σ x² + EPS) over each row.
//
// One workgroup a row.
struct Params {
    rows: u32,
    packs: u32, // of a row
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read_write> y: array<ElemPack>; // (rows, cols)

const EPS: f32 = 1e-12;

@compute @workgroup_size(WG_SIZE)
fn unit_rows(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = wg.y * wgs.x + wg.x;
    if (row < params.rows) {
        let first = row * params.packs;
        var squares = Pack(0.0);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let v = widen(x[first + i]);
            squares += v * v;
        }
        let inverse = inverseSqrt(reduce_sum(pack_sum(squares), lane) + EPS);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            y[first + i] = narrow(widen(x[first + i]) * inverse);
        }
    }
}
