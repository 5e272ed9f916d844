// The weight is (k, n): the same stored layer, used for the gradient by its input.
fn w_at(i: u32, col: u32) -> vec4<f32> {
    let at = i * params.n + col;
    let n = params.n;
    return vec4<f32>(f32(w[at]), f32(w[at + n]), f32(w[at + 2u * n]), f32(w[at + 3u * n]));
}

fn w_one(i: u32, col: u32) -> f32 {
    return f32(w[i * params.n + col]);
}
