// How much attention a key receives: mean  mass[b, j] = Σ_h Σ_i rows[i] · heads[h] · p[b, h, i, j]  (weights sum to 1),
// or max over the chosen rows and heads (weights not zero), then followed by the index h · seq_q + i of the first largest.
//
// How a workgroup shares the work, `receive`, is a module.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> lse: array<f32>; // (batch, heads, seq_q)
@group(0) @binding(3) var<storage, read> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> mass: array<f32>; // (1 or 2, batch, seq_kv)

// What one key received so far.
struct Received {
    mass: f32,
    largest: u32, // index of the largest entry
}

const NOTHING: Received = Received(0.0, 0xffffffffu);

// Takes in one entry of the map.
fn receive_from(before: Received, b: u32, h: u32, i: u32, j: u32, score: f32, present: bool) -> Received {
    let weight = tables[params.rows_at + i] * tables[params.heads_at + h];
    let bias = mask_bias(b, h, i, j);
    let p = select(0.0, exp(score + bias - lse[row_at(b, h, i)]), present && bias > MASKED);
    if (MASS_MAX) {
        let index = h * params.seq_q + i;
        let larger = p > before.mass || (p == before.mass && index < before.largest);
        if (larger && weight != 0.0) {
            return Received(p, index);
        }
        return before;
    }
    return Received(before.mass + weight * p, 0u);
}

fn store_received(b: u32, j: u32, received: Received) {
    let at = b * params.seq_kv + j;
    mass[at] = received.mass;
    if (MASS_MAX) {
        mass[params.batch * params.seq_kv + at] = f32(select(received.largest, 0u, received.largest == NOTHING.largest));
    }
}

// Rows that may give to the keys first..=last. A maximum names a row even where all of them give nothing.
fn givers(first: u32, last: u32) -> vec2<u32> {
    if (MASS_MAX) {
        return vec2<u32>(0u, params.seq_q);
    }
    return mask_rows(first, last);
}

// Whether no row of first..=last gives anything to the keys begin..=until.
fn none_give(first: u32, last: u32, begin: u32, until: u32) -> bool {
    for (var i = first; i <= last; i++) {
        if (tables[params.rows_at + i] != 0.0) {
            return !MASS_MAX && mask_hides(first, last, begin, until);
        }
    }
    return true;
}

@compute @workgroup_size(WG_SIZE)
fn attention_column_mass(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    receive(of_whole(wg), lane);
}
