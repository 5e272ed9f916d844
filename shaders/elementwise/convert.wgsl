// y = x in another storage type: from Elem to f32, or back.
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@compute @workgroup_size(WG_SIZE)
fn convert(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            y[i] = converted(i);
        }
    }
}
