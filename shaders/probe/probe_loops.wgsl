// y = [steps of one loop, steps of two nested loops]: a driver that gives up on long loops returns less.
//
// One invocation. The counter adds what it reads, so that no compiler can replace a loop by its result.
struct Params {
    single: u32,
    outer: u32,
    inner: u32,
}

@group(0) @binding(0) var<storage, read> ones: array<u32>; // (8): all one
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (2)

@compute @workgroup_size(WG_SIZE)
fn probe_loops(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x == 0u) {
        var count = 0u;
        for (var i = 0u; i < params.single; i++) {
            count += ones[(i ^ count) & 7u];
        }
        y[0] = f32(count);
        count = 0u;
        for (var i = 0u; i < params.outer; i++) {
            for (var j = 0u; j < params.inner; j++) {
                count += ones[(j ^ count) & 7u];
            }
        }
        y[1] = f32(count);
    }
}
