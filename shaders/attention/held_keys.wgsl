// Few keys: a workgroup holds all HELD of a key head with their values, and each of its invocations owns one row of the query
// heads that share it. No tile stands mostly empty so.
var<workgroup> keys: array<vec4<f32>, HELD * HEAD_VEC>;
var<workgroup> values: array<vec4<f32>, HELD * HEAD_VEC>;

// Keys times a factor, and values; for all invocations.
fn hold_keys(place: Place, factor: f32, lane: u32) {
    for (var n = lane; n < HELD * HEAD_VEC; n += WG_SIZE) {
        let at = kv_at(place.b, n / HEAD_VEC, place.kv_head) + n % HEAD_VEC;
        keys[n] = widen4(k[at]) * factor;
        values[n] = widen4(v[at]);
    }
    workgroupBarrier();
}
