// The bias of a key depends on the query's frame: a table (frames, seq_kv), soft, or LOWEST where hard; after it a table
// (frames, ceil(seq_kv / FRAME_BLOCK)): 1 where a frame sees some key of a block.
const FRAME_BLOCK: u32 = 16u;

fn mask_bias(b: u32, h: u32, i: u32, j: u32) -> f32 {
    return tables[params.mask_at + (i / params.tokens_per_frame) * params.seq_kv + j];
}

fn mask_keys(b: u32, first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(0u, params.seq_kv);
}

fn mask_rows(b: u32, first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(0u, params.seq_q);
}

fn mask_hides(first: u32, last: u32, begin: u32, until: u32) -> bool {
    let blocks = (params.seq_kv + FRAME_BLOCK - 1u) / FRAME_BLOCK;
    for (var frame = first / params.tokens_per_frame; frame <= last / params.tokens_per_frame; frame++) {
        for (var block = begin / FRAME_BLOCK; block <= until / FRAME_BLOCK; block++) {
            if (tables[params.frame_blocks_at + frame * blocks + block] != 0.0) {
                return false;
            }
        }
    }
    return true;
}
