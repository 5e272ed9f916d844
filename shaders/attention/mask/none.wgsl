// Every key is visible to every query.
fn mask_bias(b: u32, h: u32, i: u32, j: u32) -> f32 {
    return 0.0;
}

// Keys that some row of first..=last may see.
fn mask_keys(b: u32, first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(0u, params.seq_kv);
}

// Rows that may see some key of first..=last.
fn mask_rows(b: u32, first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(0u, params.seq_q);
}

// Whether no row of first..=last sees any key of begin..=until.
fn mask_hides(first: u32, last: u32, begin: u32, until: u32) -> bool {
    return false;
}
