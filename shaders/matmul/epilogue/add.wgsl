// y = y + x·w, in f32
@group(0) @binding(FACTORS) var<storage, read_write> y: array<Pack>; // (m, y_columns)

fn store(part: u32, row: u32, pack: u32, value: Pack) {
    y[y_at(row, pack)] += value;
}
