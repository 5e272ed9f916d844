// No rotary position.
fn rope_place(row: u32) -> vec3<u32> {
    return vec3<u32>(0u);
}

fn rope(v: Pack, place: vec3<u32>, pack: u32) -> Pack {
    return v;
}

fn rope_back(v: Pack, place: vec3<u32>, pack: u32) -> Pack {
    return v;
}
