// Weights lie in memory as bfloat16, two in a word, the first in its low half.
alias Weight4 = vec2<u32>;

fn widen_weight4(v: Weight4) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u));
}
