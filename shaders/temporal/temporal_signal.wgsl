// For every frame, with A its values and p = A / (Σ A + ε), ε = 1e-10:
//   sums = Σ A,  entropies = −Σ p ln(p + ε),  slopes = Σ p q with q = ln(p + ε) + p / (p + ε) = −∂H/∂p
//
// One workgroup reduces one frame of one group.
const EPS: f32 = 1e-10;

alias Term = f32;

struct Params {
    rows: u32, // groups × frames
    tokens: u32,
}

@group(0) @binding(0) var<storage, read> map: array<f32>; // (groups, frames, tokens)
@group(0) @binding(1) var<storage, read_write> sums: array<f32>; // (groups, frames)
@group(0) @binding(2) var<storage, read_write> entropies: array<f32>; // (groups, frames)
@group(0) @binding(3) var<storage, read_write> slopes: array<f32>; // (groups, frames)

@compute @workgroup_size(WG_SIZE)
fn temporal_signal(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    let first = row * params.tokens;
    // The rounded-up grid has workgroups past the last row: they read nothing.
    let tokens = select(0u, params.tokens, row < params.rows);

    var values: Cascade;
    for (var i = lane; i < tokens; i += WG_SIZE) {
        values = with_term(values, map[first + i]);
    }
    let sum = reduce_sum(sum_of(values), lane);

    var entropy_terms: Cascade;
    var slope_terms: Cascade;
    for (var i = lane; i < tokens; i += WG_SIZE) {
        let p = map[first + i] / (sum + EPS);
        let log_p = log(p + EPS);
        entropy_terms = with_term(entropy_terms, -p * log_p);
        slope_terms = with_term(slope_terms, p * (log_p + p / (p + EPS)));
    }
    let entropy = reduce_sum(sum_of(entropy_terms), lane);
    let slope = reduce_sum(sum_of(slope_terms), lane);

    if (lane == 0u && row < params.rows) {
        sums[row] = sum;
        entropies[row] = entropy;
        slopes[row] = slope;
    }
}
