// By the bits: a compiler may take a number for equal to itself.
fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// Functions of which WGSL does not promise that what is no number stays none.
fn exp_of(v: f32) -> f32 {
    return select(exp(v), v, is_nan(v));
}

fn log_of(v: f32) -> f32 {
    return select(log(v), v, is_nan(v));
}

fn exp_of4(v: vec4<f32>) -> vec4<f32> {
    let nan = (bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return select(exp(v), v, nan);
}
