// y = x: how fast this adapter moves memory, one read and one write an element.
//
// Each invocation takes STEPS vectors, a workgroup's width apart.
struct Params {
    count: u32, // vectors
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG_SIZE)
fn ceiling(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (wg.y * wgs.x + wg.x) * WG_SIZE * STEPS + lane;
    for (var step = 0u; step < STEPS; step++) {
        let i = first + step * WG_SIZE;
        if (i < params.count) {
            y[i] = x[i];
        }
    }
}
