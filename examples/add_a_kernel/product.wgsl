// y = a b, element by element.
struct Params {
    count: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Elem>; // (n)
@group(0) @binding(1) var<storage, read> b: array<Elem>; // (n)
@group(0) @binding(2) var<storage, read_write> y: array<Elem>; // (n)

@compute @workgroup_size(WG_SIZE)
fn product(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wg.y * wgs.x + wg.x) * WG_SIZE + lane;
    if (i < params.count) {
        y[i] = Elem(f32(a[i]) * f32(b[i]));
    }
}
