// A workgroup is exactly one subgroup and a tile has a query for each invocation: each reads the vector of its own query
// (`part`) and hands it to the others, so a tile is read once a workgroup and no load stands between the products.
fn q_part(at: u32) -> vec4<f32> {
    return widen4(q[at]);
}

fn q_vector(part: vec4<f32>, at: u32, t: u32) -> vec4<f32> {
    return subgroupShuffle(part, t);
}

fn d_o_part(at: u32) -> vec4<f32> {
    return widen4(d_o[at]);
}

fn d_o_vector(part: vec4<f32>, at: u32, t: u32) -> vec4<f32> {
    return subgroupShuffle(part, t);
}
