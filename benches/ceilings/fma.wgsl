// Chains of multiply-adds in registers: how fast this adapter computes in f32 when it touches no memory.
//
// Twelve chains an invocation: more than any arithmetic unit keeps in flight, few enough for the registers of a CPU.
// Factor and summand are read, so that nothing can be computed beforehand; a result is written, so that none is left out.
struct Params {
    count: u32, // rounds of 48 multiply-adds
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG_SIZE)
fn ceiling(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wg.y * wgs.x + wg.x) * WG_SIZE + lane;
    let factor = x[0].x;
    let summand = x[0].y;
    var a = x[i];
    var b = a + 1.0;
    var c = a + 2.0;
    for (var round = 0u; round < params.count; round++) {
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
    }
    y[i] = a + b + c;
}
