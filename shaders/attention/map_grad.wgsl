// Gradient that flows into the attention map from its reductions, for one entry:
//   columns  Σ_g dmap[b, g, i] · weight[g, j] · column_factor
//   entropy  -dentropy[b, h, i] · ln p
//   mass     mean: dmass[b, j] · row weight · head weight;  max: dmass[b, j] where (h, i) was the largest
//
// map_grads = columns (batch, groups, seq_q) | entropy (batch, heads, seq_q) | mass (batch, seq_kv), for a maximum
// followed by the index h · seq_q + i of the largest (batch, seq_kv)
fn map_grad(b: u32, h: u32, i: u32, j: u32, log_p: f32) -> f32 {
    var g = 0.0;
    if (GROUPS > 0u) {
        for (var group = 0u; group < GROUPS; group++) {
            let weight = tables[params.columns_at + group * params.seq_kv + j];
            // What the gradient of a group holds does not matter to keys outside it.
            let own = map_grads[(b * GROUPS + group) * params.seq_q + i] * weight * params.column_factor;
            g += select(own, 0.0, weight == 0.0);
        }
    }
    if (ENTROPY) {
        g -= map_grads[params.grad_entropy_at + row_at(b, h, i)] * log_p;
    }
    if (MASS_MEAN) {
        let weight = tables[params.rows_at + i] * tables[params.heads_at + h];
        g += map_grads[params.grad_mass_at + b * params.seq_kv + j] * weight;
    }
    if (MASS_MAX) {
        let at = params.grad_mass_at + b * params.seq_kv + j;
        let largest = u32(map_grads[at + params.batch * params.seq_kv]);
        g += select(0.0, map_grads[at], largest == h * params.seq_q + i);
    }
    return g;
}
