// Numbers lie in memory as bfloat16, two in a word, the first in its low half: the upper half of an f32, rounded to the
// nearest, ties to even. WGSL has no such type, so a single number cannot be addressed: packs of two or four only.
alias Elem2 = u32;
alias Elem4 = vec2<u32>;

fn widen2(v: Elem2) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2<u32>(v << 16u, v & 0xffff0000u));
}

fn widen4(v: Elem4) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u));
}

// Rounding could carry a NaN's payload into an infinity, so a NaN keeps its upper half and becomes quiet.
fn narrow2(v: vec2<f32>) -> Elem2 {
    let bits = bitcast<vec2<u32>>(v);
    let rounded = bits + 0x7fffu + ((bits >> vec2<u32>(16u)) & vec2<u32>(1u));
    let nan = (bits & vec2<u32>(0x7fffffffu)) > vec2<u32>(0x7f800000u);
    let kept = select(rounded, bits | vec2<u32>(0x400000u), nan);
    return (kept.x >> 16u) | (kept.y & 0xffff0000u);
}

fn narrow4(v: vec4<f32>) -> Elem4 {
    return vec2<u32>(narrow2(v.xy), narrow2(v.zw));
}
