// A weighted sum of 4 tensors.
@group(0) @binding(0) var<storage, read> a: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read> b: array<ElemPack>; // (n)
@group(0) @binding(2) var<storage, read> c: array<ElemPack>; // (n)
@group(0) @binding(3) var<storage, read> d: array<ElemPack>; // (n)

fn total(i: u32) -> Pack {
    return params.weight_a * widen(a[i]) + params.weight_b * widen(b[i]) + params.weight_c * widen(c[i]) + params.weight_d * widen(d[i]);
}
