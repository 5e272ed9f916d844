// y = residual + scale xhat + shift, xhat = (x - mean(x)) / sqrt(var(x) + eps) over each row: the norm of a branch that
// joins its residual.
//
// One workgroup a row.
struct Params {
    rows: u32,
    packs: u32, // of a row
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read> scale: array<Pack>; // (cols)
@group(0) @binding(2) var<storage, read> shift: array<Pack>; // (cols)
@group(0) @binding(3) var<storage, read> residual: array<ElemPack>; // (rows, cols)
@group(0) @binding(4) var<storage, read_write> y: array<ElemPack>; // (rows, cols)

@compute @workgroup_size(WG_SIZE)
fn branch_norm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    if (row < params.rows) {
        let first = row * params.packs;
        let m = row_moments(first, lane);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let xhat = normed(m, widen(x[first + i]));
            y[first + i] = narrow(widen(residual[first + i]) + xhat * scale[i] + shift[i]);
        }
    }
}
