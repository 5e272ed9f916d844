// Rows among which a workgroup met strays.
var<workgroup> stray_first: atomic<u32>;
var<workgroup> stray_end: atomic<u32>;

// Before any is met, with a barrier between: workgroup memory is not zeroed.
fn expect_no_strays(lane: u32) {
    if (lane == 0u) {
        atomicStore(&stray_first, NO_STRAYS.x);
        atomicStore(&stray_end, NO_STRAYS.y);
    }
}

fn meet_stray(row: u32) {
    atomicMin(&stray_first, row);
    atomicMax(&stray_end, row + 1u);
}

// For all invocations.
fn met_strays() -> vec2<u32> {
    workgroupBarrier();
    return vec2<u32>(atomicLoad(&stray_first), atomicLoad(&stray_end));
}
