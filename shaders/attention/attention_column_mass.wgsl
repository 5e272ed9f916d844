// How much attention a key receives: mean  mass[b, j] = Σ_h Σ_i rows[i] · heads[h] · p[b, h, i, j]  (weights sum to 1),
// or max over the chosen rows and heads (weights not zero), then followed by the index h · seq_q + i of the largest.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> lse: array<f32>; // (batch, heads, seq_q)
@group(0) @binding(3) var<storage, read> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> mass: array<f32>; // (1 or 2, batch, seq_kv)

@compute @workgroup_size(WG_SIZE)
fn attention_column_mass(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let column = (wg.x + params.first_workgroup) * WG_SIZE + lid.x;
    let j = min(column, params.seq_kv - 1u);
    let b = wg.y;
    let present = j < key_end(b);
    var result = 0.0;
    var largest = 0u;
    var any = false;
    for (var h = 0u; h < params.heads; h++) {
        let head_weight = tables[params.heads_at + h];
        if (head_weight != 0.0) {
            var key: array<vec4<f32>, HEAD_VEC>;
            let k0 = kv_at(b, j, h / (params.heads / params.kv_heads));
            for (var d = 0u; d < HEAD_VEC; d++) {
                key[d] = widen4(k[k0 + d]) * params.scale;
            }
            for (var i = 0u; i < params.seq_q; i++) {
                let row_weight = tables[params.rows_at + i];
                if (row_weight != 0.0) {
                    let q0 = q_at(b, i, h);
                    var s = 0.0;
                    for (var d = 0u; d < HEAD_VEC; d++) {
                        s += dot(widen4(q[q0 + d]), key[d]);
                    }
                    let bias = mask_bias(b, h, i, j);
                    let seen = present && bias > MASKED;
                    let p = select(0.0, exp(s + bias - lse[row_at(b, h, i)]), seen);
                    if (MASS_MAX) {
                        if (!any || p > result) {
                            result = p;
                            largest = h * params.seq_q + i;
                            any = true;
                        }
                    } else {
                        result += row_weight * head_weight * p;
                    }
                }
            }
        }
    }
    if (column < params.seq_kv) {
        let at = b * params.seq_kv + column;
        mass[at] = result;
        if (MASS_MAX) {
            mass[params.batch * params.seq_kv + at] = f32(largest);
        }
    }
}
