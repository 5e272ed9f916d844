// y = x·w
@group(0) @binding(FACTORS) var<storage, read_write> y: array<ElemPack>; // (m, y_columns)

fn store(part: u32, row: u32, pack: u32, value: Pack) {
    y[y_at(row, pack)] = narrow(value);
}
