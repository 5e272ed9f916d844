// y = epilogue(x · op(w)), op(w) = wᵀ for a weight (n, k), w for a weight (k, n).
//
// How a workgroup shares the work, `multiply`, is a module.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    rows_per_group: u32, // rows that share a gate
    first_workgroup: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (m, k)

@compute @workgroup_size(WG_SIZE)
fn matmul(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    multiply(wg, lane);
}
