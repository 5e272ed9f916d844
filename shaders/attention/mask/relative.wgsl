// The bias depends on head and distance: a table (heads, seq_q + seq_kv - 1) over j - i from 1 - seq_q up.
fn mask_bias(b: u32, h: u32, i: u32, j: u32) -> f32 {
    let distances = params.seq_q + params.seq_kv - 1u;
    return tables[params.mask_at + h * distances + j + params.seq_q - 1u - i];
}

fn mask_keys(b: u32, first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(0u, params.seq_kv);
}

fn mask_rows(b: u32, first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(0u, params.seq_q);
}

fn mask_hides(first: u32, last: u32, begin: u32, until: u32) -> bool {
    return false;
}
