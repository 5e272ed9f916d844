// y[i] = 1 where a read past the end gives 0, an element of the array, or what lies right behind it (NaN in a trial).
//
// No other kernel reaches past its tensors. Here `far` stays within what is allocated.
struct Params {
    n: u32,
    far: u32, // added to every index
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // (n rounded up to four): all 7
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (n)

@compute @workgroup_size(WG_SIZE)
fn probe_bounds(@builtin(local_invocation_index) lane: u32) {
    if (lane < params.n) {
        let v = x[lane + params.n + params.far];
        let behind = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
        y[lane] = select(0.0, 1.0, v == 0.0 || v == 7.0 || behind);
    }
}
