// For every frame, with A its values and p = A / (Σ A + ε), ε = 1e-10:
//   sums = Σ A,  entropies = −Σ p ln(p + ε),  slopes = Σ p q with q = ln(p + ε) + p / (p + ε) = −∂H/∂p
//
// One workgroup reduces one frame of one group.
const EPS: f32 = 1e-10;
// Elements of which an invocation takes one sum: many that are alike, added one by one, lose the same digit each time.
const BLOCK: u32 = 128u;

struct Params {
    rows: u32, // groups × frames
    tokens: u32,
}

@group(0) @binding(0) var<storage, read> map: array<f32>; // (groups, frames, tokens)
@group(0) @binding(1) var<storage, read_write> sums: array<f32>; // (groups, frames)
@group(0) @binding(2) var<storage, read_write> entropies: array<f32>; // (groups, frames)
@group(0) @binding(3) var<storage, read_write> slopes: array<f32>; // (groups, frames)

@compute @workgroup_size(WG_SIZE)
fn temporal_signal(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>,
) {
    let row = wg.y * groups.x + wg.x;
    let first = row * params.tokens;
    // The rounded-up grid has workgroups past the last row: they read nothing.
    let tokens = select(0u, params.tokens, row < params.rows);

    var sum = 0.0;
    for (var start = lid.x; start < tokens; start += WG_SIZE * BLOCK) {
        var block = 0.0;
        for (var i = start; i < min(start + WG_SIZE * BLOCK, tokens); i += WG_SIZE) {
            block += map[first + i];
        }
        sum += block;
    }
    sum = reduce_sum(sum, lid.x);

    var entropy = 0.0;
    var slope = 0.0;
    for (var start = lid.x; start < tokens; start += WG_SIZE * BLOCK) {
        var entropy_block = 0.0;
        var slope_block = 0.0;
        for (var i = start; i < min(start + WG_SIZE * BLOCK, tokens); i += WG_SIZE) {
            let p = map[first + i] / (sum + EPS);
            let log_p = log(p + EPS);
            entropy_block -= p * log_p;
            slope_block += p * (log_p + p / (p + EPS));
        }
        entropy += entropy_block;
        slope += slope_block;
    }
    entropy = reduce_sum(entropy, lid.x);
    slope = reduce_sum(slope, lid.x);

    if (lid.x == 0u && row < params.rows) {
        sums[row] = sum;
        entropies[row] = entropy;
        slopes[row] = slope;
    }
}
