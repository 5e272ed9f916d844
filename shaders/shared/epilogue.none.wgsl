// y = x·w
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (m, n)

fn store(row: u32, pack: u32, value: Pack) {
    y[row * (params.n / PACK) + pack] = narrow(value);
}
