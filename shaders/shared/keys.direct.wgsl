// Every invocation reads a key's or value's vector itself, when it is wanted.
fn k_part(at: u32) -> vec4<f32> {
    return vec4<f32>();
}

fn k_vector(part: vec4<f32>, at: u32, t: u32) -> vec4<f32> {
    return widen4(k[at]);
}

fn v_part(at: u32) -> vec4<f32> {
    return vec4<f32>();
}

fn v_vector(part: vec4<f32>, at: u32, t: u32) -> vec4<f32> {
    return widen4(v[at]);
}
