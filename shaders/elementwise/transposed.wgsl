// y[c, r] = x[r, c].
//
// Each invocation takes STEPS elements of y, a workgroup's width apart.
struct Params {
    count: u32,
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>; // (rows, cols)
@group(0) @binding(1) var<storage, read_write> y: array<Elem>; // (cols, rows)

@compute @workgroup_size(WG_SIZE)
fn transposed(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.count) {
            y[i] = x[i % params.rows * params.cols + i / params.rows];
        }
    }
}
