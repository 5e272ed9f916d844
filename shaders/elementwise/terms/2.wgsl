// A weighted sum of 2 tensors.
@group(0) @binding(0) var<storage, read> a: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read> b: array<ElemPack>; // (n)

fn total(i: u32) -> Pack {
    return params.weight_a * widen(a[i]) + params.weight_b * widen(b[i]);
}
