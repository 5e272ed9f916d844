// y = gelu(x·w + bias), tanh form; `pre` keeps x·w + bias for the gradient.
@group(0) @binding(2) var<storage, read_write> y: array<Elem>; // (m, n)
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (n)
@group(0) @binding(4) var<storage, read_write> pre: array<Elem>; // (m, n)

fn store(row: u32, col: u32, value: f32) {
    let at = row * params.n + col;
    let h = f32(Elem(value + bias[col]));
    pre[at] = Elem(h);
    // tanh of a large argument overflows exp on some drivers; beyond 10 it is 1 to the last bit.
    let inner = clamp(0.7978845608028654 * (h + 0.044715 * h * h * h), -10.0, 10.0);
    y[at] = Elem(0.5 * h * (1.0 + tanh(inner)));
}
