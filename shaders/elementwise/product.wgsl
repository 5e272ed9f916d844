// y = a b, element by element.
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
}

@group(0) @binding(0) var<storage, read> a: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read> b: array<ElemPack>; // (n)
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (n)

@compute @workgroup_size(WG_SIZE)
fn product(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            y[i] = narrow(widen(a[i]) * widen(b[i]));
        }
    }
}
