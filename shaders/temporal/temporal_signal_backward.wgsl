// dmap = dsums + dentropies · (slopes − q) / (sums + ε), with p = map / (sums + ε), q = ln(p + ε) + p / (p + ε) and
// ε = 1e-10: the gradient of temporal_signal's sums and entropies.
//
// One invocation writes one element.
const EPS: f32 = 1e-10;

struct Params {
    elements: u32, // groups × frames × tokens
    tokens: u32,
}

@group(0) @binding(0) var<storage, read> map: array<f32>; // (groups, frames, tokens)
@group(0) @binding(1) var<storage, read> sums: array<f32>; // (groups, frames)
@group(0) @binding(2) var<storage, read> slopes: array<f32>; // (groups, frames)
@group(0) @binding(3) var<storage, read> dsums: array<f32>; // (groups, frames)
@group(0) @binding(4) var<storage, read> dentropies: array<f32>; // (groups, frames)
@group(0) @binding(5) var<storage, read_write> dmap: array<f32>; // (groups, frames, tokens)

@compute @workgroup_size(WG_SIZE)
fn temporal_signal_backward(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    if (i < params.elements) {
        let row = i / params.tokens;
        let total = sums[row] + EPS;
        let p = map[i] / total;
        let q = log(p + EPS) + p / (p + EPS);
        dmap[i] = dsums[row] + dentropies[row] * (slopes[row] - q) / total;
    }
}
