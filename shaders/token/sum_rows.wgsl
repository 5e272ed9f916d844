// y[i, :] = Σ weight[e] x[row[e], :] over e in start[i] .. start[i + 1]
//
// One invocation writes one pack of one row of y, its terms in their order. Rows past x read its last row.
struct Params {
    rows_in: u32,
    rows_out: u32,
    packs: u32, // of a row
    terms: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows_in, cols)
@group(0) @binding(1) var<storage, read> start: array<u32>; // (rows_out + 1)
@group(0) @binding(2) var<storage, read> row: array<u32>; // (terms)
@group(0) @binding(3) var<storage, read> weight: array<f32>; // (terms)
@group(0) @binding(4) var<storage, read_write> y: array<ElemPack>; // (rows_out, cols)

alias Term = Pack;

@compute @workgroup_size(WG_SIZE)
fn sum_rows(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    if (i < params.rows_out * params.packs) {
        let out = i / params.packs;
        let last = min(start[out + 1u], params.terms);
        var sum: Cascade;
        for (var e = start[out]; e < last; e++) {
            let source = min(row[e], params.rows_in - 1u);
            sum = with_term(sum, weight[e] * widen(x[source * params.packs + i % params.packs]));
        }
        y[i] = narrow(sum_of(sum));
    }
}
