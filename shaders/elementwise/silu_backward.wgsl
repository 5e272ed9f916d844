// dx = dy s (1 + x (1 - s)), s = 1 / (1 + exp(-x)).
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read> dy: array<ElemPack>; // (n)
@group(0) @binding(2) var<storage, read_write> dx: array<ElemPack>; // (n)

// Logistic function; the clamp keeps exp finite, beyond it the result is 0 or 1 to the last bit.
fn logistic(v: Pack) -> Pack {
    return 1.0 / (1.0 + exp(-clamp(v, Pack(-80.0), Pack(80.0))));
}

@compute @workgroup_size(WG_SIZE)
fn silu_backward(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (wg.y * wgs.x + wg.x) * WG_SIZE * STEPS + lane;
    for (var step = 0u; step < STEPS; step++) {
        let i = first + step * WG_SIZE;
        if (i < params.packs) {
            let v = widen(x[i]);
            let s = logistic(v);
            dx[i] = narrow(widen(dy[i]) * s * (1.0 + v * (1.0 - s)));
        }
    }
}
