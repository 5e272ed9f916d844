// Query i sees `left` keys before and `right` keys after its own position, key i + shift.
fn mask_bias(b: u32, h: u32, i: u32, j: u32) -> f32 {
    let away = i32(j) - (i32(i) + shift_of(b));
    return select(LOWEST, 0.0, away >= -params.left && away <= params.right);
}

fn mask_keys(b: u32, first: u32, last: u32) -> vec2<u32> {
    let shift = shift_of(b);
    let begin = i32(first) + shift - params.left;
    let end = i32(last) + shift + params.right + 1;
    return vec2<u32>(u32(clamp(begin, 0, i32(params.seq_kv))), u32(clamp(end, 0, i32(params.seq_kv))));
}

fn mask_rows(b: u32, first: u32, last: u32) -> vec2<u32> {
    let shift = shift_of(b);
    let begin = i32(first) - shift - params.right;
    let end = i32(last) - shift + i32(params.left) + 1;
    return vec2<u32>(u32(clamp(begin, 0, i32(params.seq_q))), u32(clamp(end, 0, i32(params.seq_q))));
}

fn mask_hides(first: u32, last: u32, begin: u32, until: u32) -> bool {
    return false;
}
