// y = residual + gate ⊙ (x·w + bias), one gate vector per group of rows
@group(0) @binding(2) var<storage, read_write> y: array<Elem>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (n)
@group(0) @binding(4) var<storage, read> residual: array<Elem>; // (m, n)
@group(0) @binding(5) var<storage, read> gate: array<f32>; // (groups, n)

fn store(row: u32, col: u32, value: f32) {
    let at = row * params.n + col;
    let group = row / params.rows_per_group;
    y[at] = Elem(f32(residual[at]) + gate[group * params.n + col] * (value + bias[col]));
}
