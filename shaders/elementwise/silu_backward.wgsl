// dx = dy s (1 + x (1 - s)), s = 1 / (1 + exp(-x)).
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read> dy: array<ElemPack>; // (n)
@group(0) @binding(2) var<storage, read_write> dx: array<ElemPack>; // (n)

@compute @workgroup_size(WG_SIZE)
fn silu_backward(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            // Beyond 80 the slope is 0 or 1 to the last bit.
            let v = between(widen(x[i]), -80.0, 80.0);
            let s = logistic(v);
            dx[i] = narrow(widen(dy[i]) * s * (1.0 + v * (1.0 - s)));
        }
    }
}
