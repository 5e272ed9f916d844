// y = gelu(x·w + bias), in the form of the module that defines it; `pre` keeps x·w + bias for the gradient.
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<Pack>; // (n)
@group(0) @binding(4) var<storage, read_write> pre: array<ElemPack>; // (m, n)

fn store(row: u32, pack: u32, value: Pack) {
    let at = row * (params.n / PACK) + pack;
    // The gelu of what is kept, so that the gradient belongs to the value.
    let stored = narrow(value + bias[pack]);
    pre[at] = stored;
    y[at] = narrow(gelu_value(widen(stored)));
}
