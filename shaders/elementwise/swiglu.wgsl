// y = silu(gate) x, silu(v) = v / (1 + exp(-v)).
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read> x: array<ElemPack>; // (n)
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (n)

@compute @workgroup_size(WG_SIZE)
fn swiglu(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            // Below -100 the gate is 0, however far.
            let v = at_least(widen(gate[i]), -100.0);
            y[i] = narrow(v * logistic(v) * widen(x[i]));
        }
    }
}
