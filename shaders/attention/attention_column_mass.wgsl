// How much attention a key receives: mean  mass[b, j] = Σ_h Σ_i rows[i] · heads[h] · p[b, h, i, j]  (weights sum to 1),
// or max over the chosen rows and heads (weights not zero), then followed by the index h · seq_q + i of the first largest.
//
// How a workgroup shares the work, `receive`, is a module.
@group(0) @binding(0) var<storage, read> q: array<Elem4>; // (batch, seq_q, heads, head_dim)
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // (batch, seq_kv, kv_heads, head_dim)
@group(0) @binding(2) var<storage, read> stats: array<f32>; // (2, batch, heads, seq_q): largest, log total
@group(0) @binding(3) var<storage, read> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> mass: array<f32>; // (1 or 2, batch, seq_kv)

alias Term = f32;

// What one key received so far: a sum, or the largest entry and its index.
struct Received {
    sum: Cascade,
    mass: f32,
    largest: u32,
}

const NOBODY: u32 = 0xffffffffu;
// Stands for an entry that is NaN, which is above every probability.
const NO_NUMBER: f32 = 2.0;

fn nothing() -> Received {
    return Received(Cascade(), 0.0, NOBODY);
}

// What rows[i] · heads[h] gives of one entry of the map.
fn entry_of(b: u32, h: u32, i: u32, j: u32, score: f32, present: bool) -> f32 {
    return select(0.0, probability_of(b, h, i, j, score), present);
}

fn weight_of(h: u32, i: u32) -> f32 {
    return tables[params.rows_at + i] * tables[params.heads_at + h];
}

// What was received with a sum of weighted entries.
fn with_sum(before: Received, sum: f32) -> Received {
    return Received(with_term(before.sum, sum), 0.0, NOBODY);
}

// What was received with the entry at `index` of a row that was chosen.
fn with_entry(before: Received, entry: f32, index: u32) -> Received {
    let p = select(entry, NO_NUMBER, is_nan(entry));
    if (p > before.mass || (p == before.mass && index < before.largest)) {
        return Received(before.sum, p, index);
    }
    return before;
}

fn store_received(b: u32, j: u32, received: Received) {
    let at = b * params.seq_kv + j;
    if (MASS_MAX) {
        let nan = bitcast<f32>(params.seq_kv | 0x7fc00000u);
        mass[at] = select(received.mass, nan, received.mass == NO_NUMBER);
        mass[params.batch * params.seq_kv + at] = f32(select(received.largest, 0u, received.largest == NOBODY));
    } else {
        mass[at] = sum_of(received.sum);
    }
}

// Rows that may give to the keys first..=last. A maximum names a row even where all of them give nothing.
fn givers(b: u32, first: u32, last: u32) -> vec2<u32> {
    if (MASS_MAX) {
        return vec2<u32>(0u, params.seq_q);
    }
    return mask_rows(b, first, last);
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

// Whether some query head of those that share a key head is chosen.
fn any_head(place: Place) -> bool {
    for (var h = place.kv_head * place.group; h < (place.kv_head + 1u) * place.group; h++) {
        if (tables[params.heads_at + h] != 0.0) {
            return true;
        }
    }
    return false;
}

@compute @workgroup_size(WG_SIZE)
fn attention_column_mass(@builtin(workgroup_id) wg: vec3<u32>, invocation: Invocation) {
    receive(of_whole(wg), invocation);
}
