// Chains of products of cooperative matrices in registers, f16 factors and f32 sums: how fast the adapter's matrix units
// compute when they touch no memory.
//
// One subgroup a workgroup; four sums of its own, so that one product need not wait for another.
struct Params {
    count: u32, // rounds of 4 products
}

@group(0) @binding(0) var<storage, read> x: array<Elem>; // (2, SIZE, SIZE)
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (workgroups, SIZE, SIZE)

@compute @workgroup_size(WG_SIZE)
fn ceiling(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) wgs: vec3<u32>) {
    let at = (wg.y * wgs.x + wg.x) * SIZE * SIZE;
    let a = coopLoadT<Left>(&x[0], SIZE);
    let b = coopLoadT<Right>(&x[SIZE * SIZE], SIZE);
    var s0 = coopLoadT<Sum>(&y[at], SIZE);
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;
    for (var round = 0u; round < params.count; round++) {
        s0 = coopMultiplyAdd(a, b, s0);
        s1 = coopMultiplyAdd(a, b, s1);
        s2 = coopMultiplyAdd(a, b, s2);
        s3 = coopMultiplyAdd(a, b, s3);
    }
    // All four enter the result, so that none is left out.
    coopStoreT(s0 + s1 + s2 + s3, &y[at], SIZE);
}
