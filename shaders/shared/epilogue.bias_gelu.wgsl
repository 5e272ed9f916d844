// y = gelu(x·w + bias), tanh form; `pre` keeps x·w + bias for the gradient.
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<Pack>; // (n)
@group(0) @binding(4) var<storage, read_write> pre: array<ElemPack>; // (m, n)

fn store(row: u32, pack: u32, value: Pack) {
    let at = row * (params.n / PACK) + pack;
    // The gelu of what is kept, so that the gradient belongs to the value.
    let stored = narrow(value + bias[pack]);
    let h = widen(stored);
    pre[at] = stored;
    // tanh of a large argument overflows exp on some drivers; beyond 10 it is 1 to the last bit.
    let inner = clamp(0.7978845608028654 * (h + 0.044715 * h * h * h), Pack(-10.0), Pack(10.0));
    y[at] = narrow(0.5 * h * (1.0 + tanh(inner)));
}
