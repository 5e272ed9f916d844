// Attention over all keys from attention over each part of them: lse = ln Σ e^lse_part, o = Σ w_part o_part with
// w = e^(lse_part - lse), and the entropy H = lse - Σ w_part (lse_part - H_part).
struct Params {
    parts: u32,
    batch: u32,
    heads: u32,
    seq_q: u32,
    first_workgroup_x: u32, // of a dispatch that is one of several
    first_workgroup_y: u32,
    first_workgroup_z: u32,
}

// A row that sees nothing of a part has the lowest finite number for its lse there.
const LOWEST: f32 = -3.4028234663852886e38;
const MASKED: f32 = -1.0e38;
const HEAD_VEC: u32 = HEAD_DIM / 4u;

@group(0) @binding(0) var<storage, read> o_parts: array<Elem4>; // (parts, batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> stats_parts: array<f32>; // (1 or 2, parts, batch, heads, seq_q): lse, entropy
@group(0) @binding(2) var<storage, read_write> o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(3) var<storage, read_write> stats: array<f32>; // (1 or 2, batch, heads, seq_q): lse, entropy

@compute @workgroup_size(WG_SIZE)
fn attention_join(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let wg = of_whole(workgroup);
    let item = wg.x * WG_SIZE + lane;
    let i = item / HEAD_VEC;
    let d = item % HEAD_VEC;
    if (i >= params.seq_q) {
        return;
    }
    let at = (wg.z * params.heads + wg.y) * params.seq_q + i;
    let vector = ((wg.z * params.seq_q + i) * params.heads + wg.y) * HEAD_VEC + d;
    let plane = params.batch * params.heads * params.seq_q;
    var largest = LOWEST;
    for (var part = 0u; part < params.parts; part++) {
        largest = max(largest, stats_parts[part * plane + at]);
    }
    var total = 0.0;
    var mean = 0.0;
    var sum = vec4<f32>();
    for (var part = 0u; part < params.parts; part++) {
        let lse = stats_parts[part * plane + at];
        // A part in which the row sees nothing weighs nothing, also where it sees nothing in any.
        let weight = select(0.0, exp(lse - largest), lse > MASKED);
        total += weight;
        sum += weight * widen4(o_parts[part * plane * HEAD_VEC + vector]);
        if (ENTROPY) {
            // The lowest number times zero would do, but its difference to an entropy may be infinite.
            mean += select(0.0, weight * (lse - stats_parts[(params.parts + part) * plane + at]), weight > 0.0);
        }
    }
    let seen = total > 0.0;
    let inverse = select(0.0, 1.0 / total, seen);
    o[vector] = narrow4(sum * inverse);
    if (d == 0u) {
        let lse = select(LOWEST, largest + log(total), seen);
        stats[at] = lse;
        if (ENTROPY) {
            stats[plane + at] = select(0.0, lse - mean * inverse, seen);
        }
    }
}
