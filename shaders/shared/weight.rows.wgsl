// The weight is (n, k), one row an output, as a Linear layer stores it.
fn w_at(i: u32, col: u32) -> vec4<f32> {
    let at = col * params.k + i;
    return vec4<f32>(f32(w[at]), f32(w[at + 1u]), f32(w[at + 2u]), f32(w[at + 3u]));
}

fn w_one(i: u32, col: u32) -> f32 {
    return f32(w[col * params.k + i]);
}
