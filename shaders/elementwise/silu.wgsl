// y = silu(x) = x / (1 + exp(-x)).
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read_write> y: array<ElemPack>; // (n)

@compute @workgroup_size(WG_SIZE)
fn silu(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            // Below -100 the value is 0, however far.
            let v = at_least(widen(x[i]), -100.0);
            y[i] = narrow(v * logistic(v));
        }
    }
}
