// map[b, g, i] += factor · Σ_h Σ_j weight[g, j] · p[b, h, i, j], p = exp(score - largest - log_total): the columns of the
// attention map that belong to a group of tokens, without the map. Keys of no group are skipped.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> stats: array<f32>; // (2, batch, heads, seq_q): largest, log total
@group(0) @binding(3) var<storage, read> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> map: array<f32>; // (batch, groups, seq_q)

// Keys of which one sum is taken.
const BLOCK_KEYS: u32 = 128u;

fn probability(b: u32, h: u32, i: u32, j: u32) -> f32 {
    let q0 = q_at(b, i, h);
    let k0 = kv_at(b, j, h / (params.heads / params.kv_heads));
    var s = 0.0;
    for (var d = 0u; d < params.head_vec; d++) {
        s += dot(widen4(q[q0 + d]) * params.scale, widen4(k[k0 + d]));
    }
    let bias = mask_bias(b, h, i, j);
    let at = row_at(b, h, i);
    let row_stats = RowStats(stats[at], stats[plane_of(1u) + at]);
    return select(exp_of(log_probability(s + bias, row_stats)), 0.0, bias <= MASKED);
}

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
                    p += probability(b, h, i, j);
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
