// y[i] = x[(i + rounds) % WG_SIZE]: values handed on from neighbour to neighbour through workgroup memory, with a barrier
// before and after each hand-over. A barrier that does not hold loses or repeats some.
struct Params {
    rounds: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // (WG_SIZE)
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (WG_SIZE)

var<workgroup> handed: array<f32, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn probe_barriers(@builtin(local_invocation_index) lane: u32) {
    handed[lane] = x[lane];
    for (var round = 0u; round < params.rounds; round++) {
        workgroupBarrier();
        let next = handed[(lane + 1u) % WG_SIZE];
        workgroupBarrier();
        handed[lane] = next;
    }
    y[lane] = handed[lane];
}
