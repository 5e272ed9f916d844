// y = x in another storage type: from Elem to f32, or back.
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@compute @workgroup_size(WG_SIZE)
fn convert(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (wg.y * wgs.x + wg.x) * WG_SIZE * STEPS + lane;
    for (var step = 0u; step < STEPS; step++) {
        let i = first + step * WG_SIZE;
        if (i < params.packs) {
            y[i] = converted(i);
        }
    }
}
