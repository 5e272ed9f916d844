// What a row does not see must not matter, whatever it holds: memory that nobody has written may be NaN, and 0 · NaN is NaN.
// So products take such strays, NaN and infinities, for 0, and where a workgroup met some, those that a row does see join
// its result at the end: no product could have made of them anything but NaN or an infinity.

// The components that are NaN or infinite.
fn strays(v: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(v) & vec4<u32>(0x7f800000u)) == vec4<u32>(0x7f800000u);
}

fn without_strays(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), strays(v));
}

fn strays_of(v: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), v, strays(v));
}

// Rows from x to y, none where x is not below y: those among which strays were met.
const NO_STRAYS: vec2<u32> = vec2<u32>(0xffffffffu, 0u);

fn with_stray(rows: vec2<u32>, row: u32) -> vec2<u32> {
    return vec2<u32>(min(rows.x, row), max(rows.y, row + 1u));
}
