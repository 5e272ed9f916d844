// y = gelu(x) = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))) / 2.
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read_write> y: array<ElemPack>; // (n)

@compute @workgroup_size(WG_SIZE)
fn gelu(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            y[i] = narrow(gelu_value(widen(x[i])));
        }
    }
}
