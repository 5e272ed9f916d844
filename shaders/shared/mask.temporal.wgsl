// The bias of a key depends on the query's frame: a table (frames, seq_kv), soft, or LOWEST where hard.
fn mask_bias(b: u32, h: u32, i: u32, j: u32) -> f32 {
    return tables[params.mask_at + (i / params.tokens_per_frame) * params.seq_kv + j];
}

fn mask_keys(first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(0u, params.seq_kv);
}

fn mask_rows(first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(0u, params.seq_q);
}
