// y = x·w + bias
@group(0) @binding(FACTORS) var<storage, read_write> y: array<ElemPack>; // (m, y_columns)
@group(0) @binding(FACTORS + 1u) var<storage, read> bias: array<Pack>; // (y_columns)

fn store(part: u32, row: u32, pack: u32, value: Pack) {
    y[y_at(row, pack)] = narrow(value + bias[column_at(pack)]);
}
