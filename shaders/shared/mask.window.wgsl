// Query i sees `left` keys before and `right` keys after its own position; last query aligned with last key.
fn mask_bias(b: u32, h: u32, i: u32, j: u32) -> f32 {
    let away = i32(j) - (i32(i) + i32(params.seq_kv) - i32(params.seq_q));
    return select(LOWEST, 0.0, away >= -i32(params.left) && away <= i32(params.right));
}

fn mask_keys(first: u32, last: u32) -> vec2<u32> {
    let shift = i32(params.seq_kv) - i32(params.seq_q);
    let begin = i32(first) + shift - i32(params.left);
    let end = i32(last) + shift + i32(params.right) + 1;
    return vec2<u32>(u32(clamp(begin, 0, i32(params.seq_kv))), u32(clamp(end, 0, i32(params.seq_kv))));
}

fn mask_rows(first: u32, last: u32) -> vec2<u32> {
    let shift = i32(params.seq_kv) - i32(params.seq_q);
    let begin = i32(first) - shift - i32(params.right);
    let end = i32(last) - shift + i32(params.left) + 1;
    return vec2<u32>(u32(clamp(begin, 0, i32(params.seq_q))), u32(clamp(end, 0, i32(params.seq_q))));
}

fn mask_hides(first: u32, last: u32, begin: u32, until: u32) -> bool {
    return false;
}
