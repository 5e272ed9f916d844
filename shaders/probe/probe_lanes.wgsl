// y[0, :] = Σ x, y[1, :] = max x, as each invocation of one workgroup or subgroup learns them.
struct Params {
    n: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // (n): whole numbers, so that sums are exact
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (2, n)

@compute @workgroup_size(WG_SIZE)
fn probe_lanes(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    var largest = x[0];
    for (var i = lane; i < params.n; i += WG_SIZE) {
        sum += x[i];
        largest = max(largest, x[i]);
    }
    let total = reduce_sum(sum, lane);
    let most = reduce_max(largest, lane);
    for (var i = lane; i < params.n; i += WG_SIZE) {
        y[i] = total;
        y[params.n + i] = most;
    }
}
