// A weighted sum of 3 tensors.
@group(0) @binding(0) var<storage, read> a: array<Pack>; // (n)
@group(0) @binding(1) var<storage, read> b: array<Pack>; // (n)
@group(0) @binding(2) var<storage, read> c: array<Pack>; // (n)

fn total(i: u32) -> Pack {
    return params.weight_a * a[i] + params.weight_b * b[i] + params.weight_c * c[i];
}
