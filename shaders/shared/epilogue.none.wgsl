// y = x·w
@group(0) @binding(2) var<storage, read_write> y: array<Elem>; // (m, n)

fn store(row: u32, col: u32, value: f32) {
    y[row * params.n + col] = Elem(value);
}
