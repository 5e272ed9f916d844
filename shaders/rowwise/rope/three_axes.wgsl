// Rotary position over (frame, height, width): a Pack is a pair (2j, 2j+1) of a head, turned by the angle of its
// token. Of the c = head_dim / 2 pairs of a head the first c - 2 (c / 3) belong to the frame, the next c / 3 to the
// height, the last c / 3 to the width.
@group(0) @binding(ROPE_BINDING) var<storage, read> rope_table: array<vec2<f32>>; // (positions, head_dim / 2): cos, sin

// (frame, height, width) of a row.
fn rope_place(row: u32) -> vec3<u32> {
    let frame_tokens = params.height * params.width;
    let token = (row + params.first_token) % (params.frames * frame_tokens);
    let in_frame = token % frame_tokens;
    return vec3<u32>(token / frame_tokens, in_frame / params.width, in_frame % params.width);
}

fn rope_turn(place: vec3<u32>, pack: u32) -> vec2<f32> {
    let j = pack % params.head_pairs;
    let third = params.head_pairs / 3u;
    let spatial = select(place.z, place.y, j + third < params.head_pairs);
    let position = select(spatial, place.x, j + 2u * third < params.head_pairs);
    return rope_table[position * params.head_pairs + j];
}

fn rope(v: Pack, place: vec3<u32>, pack: u32) -> Pack {
    let turn = rope_turn(place, pack);
    return Pack(v.x * turn.x - v.y * turn.y, v.x * turn.y + v.y * turn.x);
}

fn rope_back(v: Pack, place: vec3<u32>, pack: u32) -> Pack {
    let turn = rope_turn(place, pack);
    return Pack(v.x * turn.x + v.y * turn.y, v.y * turn.x - v.x * turn.y);
}
