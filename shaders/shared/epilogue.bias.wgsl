// y = x·w + bias
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<Pack>; // (n)

fn store(row: u32, pack: u32, value: Pack) {
    y[row * (params.n / PACK) + pack] = narrow(value + bias[pack]);
}
