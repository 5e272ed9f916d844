// A weighted sum of 1 tensor.
@group(0) @binding(0) var<storage, read> a: array<Pack>; // (n)

fn total(i: u32) -> Pack {
    return params.weight_a * a[i];
}
