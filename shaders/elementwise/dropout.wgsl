// y[i] = x[i] / (1 - p) where a number that depends on seed, stream and i alone is at least p · 2³², else 0.
//
// The generator is PCG's output permutation used as a hash, once a key: no state, so that any invocation may compute any
// element, forward and backward see the same mask, and every adapter the same numbers.
struct Params {
    count: u32,
    first: u32, // number of the first element in the whole tensor
    key: u32, // hash of seed and stream
    threshold: u32, // p · 2³²
    scale: f32, // 1 / (1 - p)
}

@group(0) @binding(0) var<storage, read> x: array<Elem>; // (n)
@group(0) @binding(1) var<storage, read_write> y: array<Elem>; // (n)

fn scramble(v: u32) -> u32 {
    let state = v * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

@compute @workgroup_size(WG_SIZE)
fn dropout(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.count) {
            let drawn = scramble(scramble(params.first + i) ^ params.key);
            // A product also where it is dropped: what is no number stays none.
            y[i] = Elem(f32(x[i]) * select(0.0, params.scale, drawn >= params.threshold));
        }
    }
}
