// y = Σ weight_k input_k over one to four inputs.
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
    weight_a: f32,
    weight_b: f32,
    weight_c: f32,
    weight_d: f32,
}

@group(0) @binding(INPUTS) var<storage, read_write> y: array<ElemPack>; // (n)

@compute @workgroup_size(WG_SIZE)
fn weighted_sum(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            y[i] = narrow(total(i));
        }
    }
}
