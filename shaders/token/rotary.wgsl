// y = x with the pairs of each head turned by the angles of its token; columns beyond the pairs stay as they are.
//
// One invocation a pack of y. `turned` says which two columns make a pair.
struct Params {
    packs: u32, // of x
    head_packs: u32, // of a head
    heads: u32,
    pairs: u32, // of a head
    first_end: u32, // pairs before this one turn by a token's first position,
    second_end: u32, // those before this one by its second, the others by its third
    first_token: u32, // token of the first head
    tokens: u32, // of `positions`
    table_rows: u32,
    direction: f32, // -1 turns back
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (tokens, heads, head_dim)
@group(0) @binding(1) var<storage, read> rope_table: array<vec2<f32>>; // (table rows, pairs): cos, sin
@group(0) @binding(2) var<storage, read> positions: array<u32>; // (axes, tokens)
@group(0) @binding(3) var<storage, read_write> y: array<ElemPack>; // (tokens, heads, head_dim)

// Cosine and sine of a token's angle for a pair. Positions past the table read its last row; the host refuses them
// beforehand where it sees them.
fn turn_of(token: u32, pair: u32) -> vec2<f32> {
    let axis = u32(pair >= params.first_end) + u32(pair >= params.second_end);
    let position = min(positions[axis * params.tokens + params.first_token + token], params.table_rows - 1u);
    let turn = rope_table[position * params.pairs + pair];
    return vec2<f32>(turn.x, turn.y * params.direction);
}

@compute @workgroup_size(WG_SIZE)
fn rotary(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    if (i < params.packs) {
        y[i] = narrow(turned(i, i / params.head_packs / params.heads, i % params.head_packs));
    }
}
