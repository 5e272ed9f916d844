// y = xhat (scale + unit) + shift, xhat = (x - mean(x)) / sqrt(var(x) + eps) over each row; unit is 1 when modulated.
//
// One workgroup a row. Row r uses scale and shift of group r / rows_per_group.
struct Params {
    rows: u32,
    packs: u32, // of a row
    rows_per_group: u32,
    eps: f32,
    unit: f32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read> scale: array<Pack>; // (groups, cols)
@group(0) @binding(2) var<storage, read> shift: array<Pack>; // (groups, cols)
@group(0) @binding(3) var<storage, read_write> y: array<ElemPack>; // (rows, cols)

@compute @workgroup_size(WG_SIZE)
fn layer_norm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    if (row < params.rows) {
        let first = row * params.packs;
        let at = row / params.rows_per_group * params.packs;
        let m = row_moments(first, lane);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let xhat = normed(m, widen(x[first + i]));
            y[first + i] = narrow(xhat * (scale[at + i] + params.unit) + shift[at + i]);
        }
    }
}
