// o = softmax(scale · q kᵀ + mask) v, with lse = ln Σ exp(scores) and the row entropy H = lse - Σ p · score.
//
// One invocation owns one query row of one head and passes over the keys once with a running softmax. All
// invocations of a workgroup read the same key at the same time.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(3) var<storage, read> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // (1 or 2, batch, heads, seq_q): lse, entropy

@compute @workgroup_size(WG_SIZE)
fn attention(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let first = (wg.x + params.first_workgroup) * WG_SIZE;
    let row = first + lid.x;
    let i = min(row, params.seq_q - 1u);
    let h = wg.y;
    let b = wg.z;
    let kv_head = h / (params.heads / params.kv_heads);
    var query: array<vec4<f32>, HEAD_VEC>;
    var acc: array<vec4<f32>, HEAD_VEC>;
    let q0 = q_at(b, i, h);
    for (var d = 0u; d < HEAD_VEC; d++) {
        query[d] = widen4(q[q0 + d]) * params.scale;
    }
    var largest = LOWEST;
    var total = 0.0;
    var weighted = 0.0;
    let keys = mask_keys(first, min(first + WG_SIZE, params.seq_q) - 1u);
    let end = min(keys.y, key_end(b));
    for (var j0 = keys.x; j0 < end; j0 += TILE_KV) {
        var score: array<f32, TILE_KV>;
        var tile_max = LOWEST;
        // The count is known at run time only, so these loops stay loops: unrolled by wide heads, a driver's compiler
        // would take minutes.
        let count = min(TILE_KV, end - j0);
        for (var t = 0u; t < count; t++) {
            let j = j0 + t;
            let k0 = kv_at(b, j, kv_head);
            var s = 0.0;
            for (var d = 0u; d < HEAD_VEC; d++) {
                s += dot(query[d], widen4(k[k0 + d]));
            }
            let bias = mask_bias(b, h, i, j);
            s = select(s + bias, LOWEST, bias <= MASKED);
            score[t] = s;
            tile_max = max(tile_max, s);
        }
        let new_max = max(largest, tile_max);
        let shrink = exp(largest - new_max);
        total *= shrink;
        weighted *= shrink;
        for (var d = 0u; d < HEAD_VEC; d++) {
            acc[d] *= shrink;
        }
        for (var t = 0u; t < count; t++) {
            let p = select(exp(score[t] - new_max), 0.0, score[t] <= MASKED);
            total += p;
            if (ENTROPY) {
                weighted += select(p * score[t], 0.0, score[t] <= MASKED);
            }
            let v0 = kv_at(b, j0 + t, kv_head);
            for (var d = 0u; d < HEAD_VEC; d++) {
                acc[d] += p * widen4(v[v0 + d]);
            }
        }
        largest = new_max;
    }
    if (row < params.seq_q) {
        // A row that sees no key gives 0 and the lowest lse.
        let seen = total > 0.0;
        let inverse = select(0.0, 1.0 / total, seen);
        for (var d = 0u; d < HEAD_VEC; d++) {
            o[q0 + d] = narrow4(acc[d] * inverse);
        }
        let lse = select(LOWEST, largest + log(total), seen);
        let at = row_at(b, h, row);
        stats[at] = lse;
        if (ENTROPY) {
            stats[params.batch * params.heads * params.seq_q + at] = select(0.0, lse - weighted * inverse, seen);
        }
    }
}
