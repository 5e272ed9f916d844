// y[b, c] = Σ x[r, c] over the rows r of block b.
//
// One invocation sums one pack of columns of one block, row after row: the order does not depend on scheduling.
struct Params {
    rows: u32,
    packs: u32, // of a row
    blocks: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read_write> y: array<Pack>; // (blocks, cols)

@compute @workgroup_size(WG_SIZE)
fn column_sum(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    if (i < params.blocks * params.packs) {
        let first = i / params.packs * BLOCK;
        let last = min(first + BLOCK, params.rows);
        var sum = Pack(0.0);
        for (var r = first; r < last; r++) {
            sum += widen(x[r * params.packs + i % params.packs]);
        }
        y[i] = sum;
    }
}
