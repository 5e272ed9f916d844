// Query i sees keys up to its own position; the last query is aligned with the last key.
fn mask_bias(b: u32, h: u32, i: u32, j: u32) -> f32 {
    return select(LOWEST, 0.0, i32(j) <= i32(i) + i32(params.seq_kv) - i32(params.seq_q));
}

fn mask_keys(first: u32, last: u32) -> vec2<u32> {
    let end = i32(last) + 1 + i32(params.seq_kv) - i32(params.seq_q);
    return vec2<u32>(0u, u32(clamp(end, 0, i32(params.seq_kv))));
}

fn mask_rows(first: u32, last: u32) -> vec2<u32> {
    let begin = i32(first) - i32(params.seq_kv) + i32(params.seq_q);
    return vec2<u32>(u32(clamp(begin, 0, i32(params.seq_q))), params.seq_q);
}

fn mask_hides(first: u32, last: u32, begin: u32, until: u32) -> bool {
    return false;
}
