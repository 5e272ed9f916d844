// y = residual + gate ⊙ (x·w + bias), one gate vector per group of rows
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<Pack>; // (n)
@group(0) @binding(4) var<storage, read> residual: array<ElemPack>; // (m, n)
@group(0) @binding(5) var<storage, read> gate: array<Pack>; // (groups, n)

fn store(row: u32, pack: u32, value: Pack) {
    let packs = params.n / PACK;
    let at = row * packs + pack;
    let group = row / params.rows_per_group;
    y[at] = narrow(widen(residual[at]) + gate[group * packs + pack] * (value + bias[pack]));
}
