// y = residual + x·w + bias
@group(0) @binding(FACTORS) var<storage, read_write> y: array<ElemPack>; // (m, y_columns)
@group(0) @binding(FACTORS + 1u) var<storage, read> bias: array<Pack>; // (y_columns)
@group(0) @binding(FACTORS + 2u) var<storage, read> residual: array<ElemPack>; // (m, y_columns)

fn store(part: u32, row: u32, pack: u32, value: Pack) {
    let at = y_at(row, pack);
    y[at] = narrow(widen(residual[at]) + value + bias[column_at(pack)]);
}
