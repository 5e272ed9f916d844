// A weighted sum of 1 tensor.
@group(0) @binding(0) var<storage, read> a: array<ElemPack>; // (n)

fn total(i: u32) -> Pack {
    return params.weight_a * widen(a[i]);
}
