// A workgroup is exactly one subgroup and a tile has a key for each invocation: each reads the vector of its own key
// (`part`) and hands it to the others, so a tile is read once a workgroup and no load stands between the products.
fn k_part(at: u32) -> vec4<f32> {
    return widen4(k[at]);
}

fn k_vector(part: vec4<f32>, at: u32, t: u32) -> vec4<f32> {
    return subgroupShuffle(part, t);
}

fn v_part(at: u32) -> vec4<f32> {
    return widen4(v[at]);
}

fn v_vector(part: vec4<f32>, at: u32, t: u32) -> vec4<f32> {
    return subgroupShuffle(part, t);
}
