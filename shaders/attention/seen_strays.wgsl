// Strays among the keys from keys.x to keys.y that a row sees, in vector d of its result: those of what `of_keys` reads.
fn seen_strays(b: u32, h: u32, i: u32, kv_head: u32, d: u32, keys: vec2<u32>) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var j = keys.x; j < keys.y; j++) {
        if (sees(b, h, i, j)) {
            sum += strays_of(of_keys(kv_at(b, j, kv_head) + d));
        }
    }
    return sum;
}
