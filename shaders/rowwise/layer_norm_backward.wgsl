// dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var(x) + eps), g = dy (scale + unit), over each row; mean, variance and
// xhat are computed again from x.
//
// One workgroup a row. Row r uses scale of group r / rows_per_group.
struct Params {
    rows: u32,
    packs: u32, // of a row
    rows_per_group: u32,
    eps: f32,
    unit: f32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read> scale: array<Pack>; // (groups, cols)
@group(0) @binding(2) var<storage, read> dy: array<ElemPack>; // (rows, cols)
@group(0) @binding(3) var<storage, read_write> dx: array<ElemPack>; // (rows, cols)

@compute @workgroup_size(WG_SIZE)
fn layer_norm_backward(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    if (row < params.rows) {
        let first = row * params.packs;
        let at = row / params.rows_per_group * params.packs;
        let m = row_moments(first, lane);
        var g_sum = Pack(0.0);
        var gx_sum = Pack(0.0);
        for (var start = lane; start < params.packs; start += WG_SIZE * BLOCK) {
            var g_block = Pack(0.0);
            var gx_block = Pack(0.0);
            for (var i = start; i < min(start + WG_SIZE * BLOCK, params.packs); i += WG_SIZE) {
                let g = widen(dy[first + i]) * (scale[at + i] + params.unit);
                g_block += g;
                gx_block += g * normed(m, widen(x[first + i]));
            }
            g_sum += g_block;
            gx_sum += gx_block;
        }
        let cols = f32(params.packs * PACK);
        let g_mean = reduce_sum(pack_sum(g_sum), lane) / cols;
        let gx_mean = reduce_sum(pack_sum(gx_sum), lane) / cols;
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let g = widen(dy[first + i]) * (scale[at + i] + params.unit);
            dx[first + i] = narrow((g - g_mean - normed(m, widen(x[first + i])) * gx_mean) * m.inverse * m.unit);
        }
    }
}
