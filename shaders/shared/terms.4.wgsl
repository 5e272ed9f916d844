// A weighted sum of 4 tensors.
@group(0) @binding(0) var<storage, read> a: array<Pack>; // (n)
@group(0) @binding(1) var<storage, read> b: array<Pack>; // (n)
@group(0) @binding(2) var<storage, read> c: array<Pack>; // (n)
@group(0) @binding(3) var<storage, read> d: array<Pack>; // (n)

fn total(i: u32) -> Pack {
    return params.weight_a * a[i] + params.weight_b * b[i] + params.weight_c * c[i] + params.weight_d * d[i];
}
