// What all attention kernels share: parameters, the layout of `tables`, and where a row's keys end.
//
// tables = key lengths (batch) | mask table | blocks of a temporal mask | column weights (groups, seq_kv) | row weights (seq_q) | head weights (heads)
struct Params {
    batch: u32,
    heads: u32,
    kv_heads: u32,
    head_vec: u32, // HEAD_VEC, for loops that the driver shall not unroll
    seq_q: u32,
    seq_kv: u32,
    scale: f32,
    key_lengths: u32, // 1 when tables begin with key lengths
    mask_at: u32,
    blocks_at: u32,
    columns_at: u32,
    rows_at: u32,
    heads_at: u32,
    left: u32,
    right: u32,
    tokens_per_frame: u32,
    column_factor: f32,
    grad_entropy_at: u32,
    grad_mass_at: u32,
    parts: u32, // of the keys; 1 where a workgroup passes over all of them
    part_keys: u32, // keys of a part; the last may have fewer
    first_workgroup_x: u32, // of a dispatch that is one of several
    first_workgroup_y: u32,
    first_workgroup_z: u32,
}

const HEAD_VEC: u32 = HEAD_DIM / 4u;
const LOWEST: f32 = -3.4028234663852886e38;
// A bias at or below this says that the key is not there.
const MASKED: f32 = -1.0e38;

fn key_end(b: u32) -> u32 {
    if (params.key_lengths == 1u) {
        return min(u32(tables[b]), params.seq_kv);
    }
    return params.seq_kv;
}

// Which sequence workgroup z works on: results are (parts, batch, ...).
fn sequence_of(z: u32) -> u32 {
    return z % params.batch;
}

// Of the keys from keys.x to keys.y those that workgroup z passes over.
fn keys_of(keys: vec2<u32>, z: u32) -> vec2<u32> {
    let first = z / params.batch * params.part_keys;
    return vec2<u32>(max(keys.x, first), min(min(keys.y, key_end(sequence_of(z))), first + params.part_keys));
}

// Where the entropies begin.
fn second_plane() -> u32 {
    return params.parts * params.batch * params.heads * params.seq_q;
}

fn q_at(b: u32, i: u32, h: u32) -> u32 {
    return ((b * params.seq_q + i) * params.heads + h) * HEAD_VEC;
}

fn kv_at(b: u32, j: u32, kv_head: u32) -> u32 {
    return ((b * params.seq_kv + j) * params.kv_heads + kv_head) * HEAD_VEC;
}

fn row_at(b: u32, h: u32, i: u32) -> u32 {
    return (b * params.heads + h) * params.seq_q + i;
}

// Which sequence and key head a workgroup works on; `group` query heads share the key head.
struct Place {
    b: u32,
    kv_head: u32,
    group: u32,
}

// Row `row` of the queries of all heads that share a key head: query row / group of head row % group.
fn query_at(place: Place, row: u32) -> u32 {
    return q_at(place.b, row / place.group, place.kv_head * place.group + row % place.group);
}
