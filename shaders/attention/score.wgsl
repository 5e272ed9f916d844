// The score of key j for query i of head h, without bias, by one invocation.
fn score_of(b: u32, h: u32, i: u32, j: u32) -> f32 {
    let q0 = q_at(b, i, h);
    let k0 = kv_at(b, j, h / GROUP);
    var score = 0.0;
    for (var d = 0u; d < params.head_vec; d++) {
        score += dot(widen4(q[q0 + d]) * params.scale, widen4(k[k0 + d]));
    }
    return score;
}
