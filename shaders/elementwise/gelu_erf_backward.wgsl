// dx = dy gelu'(x), gelu in its erf form.
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read> dy: array<ElemPack>; // (n)
@group(0) @binding(2) var<storage, read_write> dx: array<ElemPack>; // (n)

@compute @workgroup_size(WG_SIZE)
fn gelu_erf_backward(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            dx[i] = narrow(widen(dy[i]) * gelu_slope(widen(x[i])));
        }
    }
}
