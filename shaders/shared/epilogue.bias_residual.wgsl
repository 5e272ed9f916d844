// y = residual + x·w + bias
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<Pack>; // (n)
@group(0) @binding(4) var<storage, read> residual: array<ElemPack>; // (m, n)

fn store(row: u32, pack: u32, value: Pack) {
    let at = row * (params.n / PACK) + pack;
    y[at] = narrow(widen(residual[at]) + value + bias[pack]);
}
