// Each invocation takes STEPS packs, a workgroup's width apart, so that neighbours take neighbouring packs: the one that it
// takes at a step.
fn pack_at(workgroup: Workgroup, lane: u32, step: u32) -> u32 {
    return (number_of(workgroup) * STEPS + step) * WG_SIZE + lane;
}
