// Every invocation reads a vector of a query or of its gradient itself, when it is wanted.
fn q_part(at: u32) -> vec4<f32> {
    return vec4<f32>();
}

fn q_vector(part: vec4<f32>, at: u32, t: u32) -> vec4<f32> {
    return widen4(q[at]);
}

fn d_o_part(at: u32) -> vec4<f32> {
    return vec4<f32>();
}

fn d_o_vector(part: vec4<f32>, at: u32, t: u32) -> vec4<f32> {
    return widen4(d_o[at]);
}
