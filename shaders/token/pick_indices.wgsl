// y[a, i] = x[a, ids[i]], of integers.
//
// One invocation copies one. Ids past the row read its last.
struct Params {
    axes: u32,
    columns: u32, // of x
    count: u32, // columns of y
}

@group(0) @binding(0) var<storage, read> x: array<u32>; // (axes, of)
@group(0) @binding(1) var<storage, read> ids: array<u32>; // (count)
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // (axes, count)

@compute @workgroup_size(WG_SIZE)
fn pick_indices(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    if (i < params.axes * params.count) {
        let id = min(ids[i % params.count], params.columns - 1u);
        y[i] = x[i / params.count * params.columns + id];
    }
}
