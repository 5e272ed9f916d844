// y = x·w + bias
@group(0) @binding(2) var<storage, read_write> y: array<Elem>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (n)

fn store(row: u32, col: u32, value: f32) {
    y[row * params.n + col] = Elem(value + bias[col]);
}
