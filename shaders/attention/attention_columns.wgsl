// map[b, g, i] += factor · Σ_h Σ_j weight[g, j] · p[b, h, i, j], p = exp(score - largest - log_total): the columns of the
// attention map that belong to a group of tokens, without the map. Keys of no group are skipped.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> stats: array<f32>; // (2, batch, heads, seq_q): largest, log total
@group(0) @binding(3) var<storage, read> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> map: array<f32>; // (batch, groups, seq_q)

// Keys of which one sum is taken.
const BLOCK_KEYS: u32 = 128u;

@compute @workgroup_size(WG_SIZE)
fn attention_columns(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let wg = of_whole(workgroup);
    let row = wg.x * WG_SIZE + lane;
    let i = min(row, params.seq_q - 1u);
    let b = wg.y;
    var sums: array<f32, GROUPS>;
    let end = key_end(b);
    for (var first = 0u; first < end; first += BLOCK_KEYS) {
        var block: array<f32, GROUPS>;
        for (var j = first; j < min(first + BLOCK_KEYS, end); j++) {
            var wanted = false;
            for (var g = 0u; g < GROUPS; g++) {
                wanted = wanted || tables[params.columns_at + g * params.seq_kv + j] != 0.0;
            }
            if (wanted) {
                var p = 0.0;
                for (var h = 0u; h < params.heads; h++) {
                    p += probability_of(b, h, i, j, score_of(b, h, i, j));
                }
                for (var g = 0u; g < GROUPS; g++) {
                    let weight = tables[params.columns_at + g * params.seq_kv + j];
                    block[g] += select(p * weight, 0.0, weight == 0.0);
                }
            }
        }
        for (var g = 0u; g < GROUPS; g++) {
            sums[g] += block[g];
        }
    }
    if (row < params.seq_q) {
        for (var g = 0u; g < GROUPS; g++) {
            map[(b * GROUPS + g) * params.seq_q + row] += params.column_factor * sums[g];
        }
    }
}
