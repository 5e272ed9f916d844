// y[b, i, j] = x[b, i, :] · x[b, j, :]
//
// One invocation computes one product.
struct Params {
    batch: u32,
    rows: u32,
    packs: u32, // of a row
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (batch, rows, dim)
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (batch, rows, rows)

alias Term = Pack;

@compute @workgroup_size(WG_SIZE)
fn gram(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let at = number_of(workgroup) * WG_SIZE + lane;
    if (at < params.batch * params.rows * params.rows) {
        let b = at / (params.rows * params.rows);
        let i = (b * params.rows + at / params.rows % params.rows) * params.packs;
        let j = (b * params.rows + at % params.rows) * params.packs;
        var sum: Cascade;
        for (var c = 0u; c < params.packs; c++) {
            sum = with_term(sum, widen(x[i + c]) * widen(x[j + c]));
        }
        y[at] = pack_sum(sum_of(sum));
    }
}
