// y = epilogue(x · op(w)), op(w) = wᵀ for a weight (n, k), w for a weight (k, n).
//
// How a workgroup shares the work, `multiply`, is a module.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    rows_per_group: u32, // rows that share a gate
    part_inputs: u32, // of the inner size, what a workgroup passes over: all of it or whole packs
    first_workgroup: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (m, k)

// The part of the inner size that the workgroup passes over, and of the results: (parts, m, n).
var<private> part: u32;

// From pack x to pack y of the inner size.
fn inputs_of_part() -> vec2<u32> {
    let first = part * params.part_inputs;
    return min(vec2<u32>(first, first + params.part_inputs), vec2<u32>(params.k)) / PACK;
}

@compute @workgroup_size(WG_SIZE)
fn matmul(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    part = wg.z;
    multiply(wg, lane);
}
