// Query i sees keys up to its own position, key i + shift.
fn mask_bias(b: u32, h: u32, i: u32, j: u32) -> f32 {
    return select(LOWEST, 0.0, i32(j) <= i32(i) + shift_of(b));
}

fn mask_keys(b: u32, first: u32, last: u32) -> vec2<u32> {
    let end = i32(last) + 1 + shift_of(b);
    return vec2<u32>(0u, u32(clamp(end, 0, i32(params.seq_kv))));
}

fn mask_rows(b: u32, first: u32, last: u32) -> vec2<u32> {
    let begin = i32(first) - shift_of(b);
    return vec2<u32>(u32(clamp(begin, 0, i32(params.seq_q))), params.seq_q);
}

fn mask_hides(first: u32, last: u32, begin: u32, until: u32) -> bool {
    return false;
}
