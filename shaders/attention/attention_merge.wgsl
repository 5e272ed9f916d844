// Attention over two sets of keys from attention over each: lse = ln(e^lse_a + e^lse_b), o = w_a o_a + w_b o_b with
// w = e^(lse_part - lse), and the entropy H = lse - Σ w_part (lse_part - H_part).
struct Params {
    batch: u32,
    heads: u32,
    seq_q: u32,
    first_workgroup_x: u32, // of a dispatch that is one of several
    first_workgroup_y: u32,
    first_workgroup_z: u32,
}

// A row that sees nothing of a set has the lowest finite number for its lse there.
const LOWEST: f32 = -3.4028234663852886e38;
const MASKED: f32 = -1.0e38;
const HEAD_VEC: u32 = HEAD_DIM / 4u;

@group(0) @binding(0) var<storage, read> o_a: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> stats_a: array<f32>; // (1 or 2, batch, heads, seq_q): lse, entropy
@group(0) @binding(2) var<storage, read> o_b: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(3) var<storage, read> stats_b: array<f32>; // (1 or 2, batch, heads, seq_q): lse, entropy
@group(0) @binding(4) var<storage, read_write> o: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // (1 or 2, batch, heads, seq_q): lse, entropy

@compute @workgroup_size(WG_SIZE)
fn attention_merge(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let wg = of_whole(workgroup);
    let item = wg.x * WG_SIZE + lane;
    let i = item / HEAD_VEC;
    let d = item % HEAD_VEC;
    if (i >= params.seq_q) {
        return;
    }
    let at = (wg.z * params.heads + wg.y) * params.seq_q + i;
    let a = stats_a[at];
    let b = stats_b[at];
    let largest = max(a, b);
    // A row that sees no key in either set gives 0 and the lowest lse.
    let seen = largest > MASKED;
    let lse = select(LOWEST, largest + log(exp(a - largest) + exp(b - largest)), seen);
    let of_a = select(0.0, exp(a - lse), seen);
    let of_b = select(0.0, exp(b - lse), seen);
    let vector = ((wg.z * params.seq_q + i) * params.heads + wg.y) * HEAD_VEC + d;
    o[vector] = narrow4(of_a * widen4(o_a[vector]) + of_b * widen4(o_b[vector]));
    if (d == 0u) {
        stats[at] = lse;
        if (ENTROPY) {
            let plane = params.batch * params.heads * params.seq_q;
            // The lowest number times zero would do, but its difference to an entropy may be infinite.
            let mean_a = select(0.0, of_a * (a - stats_a[plane + at]), of_a > 0.0);
            let mean_b = select(0.0, of_b * (b - stats_b[plane + at]), of_b > 0.0);
            stats[plane + at] = select(0.0, lse - mean_a - mean_b, seen);
        }
    }
}
