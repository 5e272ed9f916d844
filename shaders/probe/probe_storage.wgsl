// y = x through the storage type and back, with infinities as ±2¹⁰⁰ and NaN as 2¹⁰¹, so that they can be compared.
struct Params {
    packs: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Pack>; // (n)
@group(0) @binding(1) var<storage, read_write> y: array<Pack>; // (n)

@compute @workgroup_size(WG_SIZE)
fn probe_storage(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.packs) {
        let back = widen(narrow(x[id.x]));
        // By their bits: a compiler may assume that arithmetic meets no infinity.
        let bits = bitcast<vec4<u32>>(back);
        let size = bits & vec4<u32>(0x7fffffffu);
        let infinity = select(vec4<f32>(0x1p100), vec4<f32>(-0x1p100), (bits >> vec4<u32>(31u)) == vec4<u32>(1u));
        let finite = select(back, infinity, size == vec4<u32>(0x7f800000u));
        y[id.x] = select(finite, vec4<f32>(0x1p101), size > vec4<u32>(0x7f800000u));
    }
}
