// y = residual + x·w + bias
@group(0) @binding(2) var<storage, read_write> y: array<Elem>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (n)
@group(0) @binding(4) var<storage, read> residual: array<Elem>; // (m, n)

fn store(row: u32, col: u32, value: f32) {
    let at = row * params.n + col;
    y[at] = Elem(f32(residual[at]) + value + bias[col]);
}
