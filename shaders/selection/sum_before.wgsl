// Sums of what the invocations before have, and of all; WG_SIZE is a power of two.
var<workgroup> sums_so_far: array<u32, WG_SIZE>;

fn sum_before(value: u32, lane: u32) -> u32 {
    workgroupBarrier();
    var sum = value;
    sums_so_far[lane] = sum;
    for (var apart = 1u; apart < WG_SIZE; apart *= 2u) {
        workgroupBarrier();
        let before = select(0u, sums_so_far[lane - min(apart, lane)], lane >= apart);
        workgroupBarrier();
        sum += before;
        sums_so_far[lane] = sum;
    }
    workgroupBarrier();
    return sum - value;
}

// After `sum_before`, until the next.
fn sum_of_all() -> u32 {
    return sums_so_far[WG_SIZE - 1u];
}
