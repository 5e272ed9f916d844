// y = residual + gate ⊙ (x·w + bias), one gate vector per group of rows
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (m, y_columns)
@group(0) @binding(3) var<storage, read> bias: array<Pack>; // (y_columns)
@group(0) @binding(4) var<storage, read> residual: array<ElemPack>; // (m, y_columns)
@group(0) @binding(5) var<storage, read> gate: array<Pack>; // (groups, y_columns)

fn store(part: u32, row: u32, pack: u32, value: Pack) {
    let at = y_at(row, pack);
    let gate_value = gate[y_at(row / params.rows_per_group, pack)];
    y[at] = narrow(widen(residual[at]) + gate_value * (value + bias[column_at(pack)]));
}
