// What all attention kernels share: parameters, the layout of `tables`, where a row's keys end, and how probabilities come
// from scores.
//
// tables = key lengths (batch, 2): the upper and the lower 16 bits | mask table | blocks of a temporal mask | column weights (groups, seq_kv) | row weights (seq_q) | head weights (heads)
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
    frame_blocks_at: u32,
    columns_at: u32,
    rows_at: u32,
    heads_at: u32,
    left: i32, // keys before and after a query's position that a window holds
    right: i32,
    tokens_per_frame: u32,
    shift: i32, // position of the first query less that of the first key
    aligned: u32, // 1 where the last query stands at the sequence's last key instead
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
// A bias at or below this says that the key is not there. Scores say nothing of the kind, however low they are.
const MASKED: f32 = -1.0e38;

fn key_end(b: u32) -> u32 {
    if (params.key_lengths == 1u) {
        return min((u32(tables[2u * b]) << 16u) + u32(tables[2u * b + 1u]), params.seq_kv);
    }
    return params.seq_kv;
}

// Where query i of sequence b stands among its keys: i + shift.
fn shift_of(b: u32) -> i32 {
    return select(params.shift, i32(key_end(b)) - i32(params.seq_q), params.aligned == 1u);
}

// Which sequence workgroup z works on: results are (parts, batch, ...).
fn sequence_of(z: u32) -> u32 {
    return z % params.batch;
}

// Of the keys that rows first..=last may see those that workgroup z passes over.
fn keys_of(first: u32, last: u32, z: u32) -> vec2<u32> {
    let b = sequence_of(z);
    let keys = mask_keys(b, first, last);
    let begin = z / params.batch * params.part_keys;
    return vec2<u32>(max(keys.x, begin), min(min(keys.y, key_end(b)), begin + params.part_keys));
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

// Values of a plane of the statistics, of `parts` parts.
fn plane_of(parts: u32) -> u32 {
    return parts * params.batch * params.heads * params.seq_q;
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

// Whether query i of head h sees key j, of which it is known that it exists.
fn sees(b: u32, h: u32, i: u32, j: u32) -> bool {
    return mask_bias(b, h, i, j) > MASKED;
}
