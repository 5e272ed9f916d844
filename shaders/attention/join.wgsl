// A row's attention over several sets of keys from its attention over each: an invocation joins a vector of its result.
const HEAD_VEC: u32 = HEAD_DIM / 4u;

struct Item {
    there: bool,
    row: u32, // in a plane of the statistics
    vector: u32, // in the results
    first: bool, // of the row's
}

fn item_of(wg: vec3<u32>, lane: u32) -> Item {
    let item = wg.x * WG_SIZE + lane;
    let i = item / HEAD_VEC;
    let d = item % HEAD_VEC;
    return Item(
        i < params.seq_q,
        (wg.z * params.heads + wg.y) * params.seq_q + i,
        ((wg.z * params.seq_q + i) * params.heads + wg.y) * HEAD_VEC + d,
        d == 0u,
    );
}

// Rows of a plane of the statistics.
fn plane() -> u32 {
    return params.batch * params.heads * params.seq_q;
}

struct Joined {
    largest: f32, // of all sets; known before any is joined
    total: f32, // Σ exp(score - largest)
    mean: f32, // Σ share · (entropy - ln share), the shares as parts of `total`
    sum: vec4<f32>, // Σ share · o
}

// With a set's statistics, entropy and a vector of its result. A set of which the row sees nothing counts for nothing,
// whatever its result holds.
fn with_set(before: Joined, row: RowStats, entropy: f32, o: vec4<f32>) -> Joined {
    if (is_empty(row)) {
        return before;
    }
    // At most 200 nats: further apart the set counts for nothing, and 0 times infinity would be NaN. What is NaN stays so.
    let fall = row.largest - before.largest;
    let log_share = select(fall, -200.0, fall < -200.0) + row.log_total;
    let share = exp_of(log_share);
    return Joined(
        before.largest,
        before.total + share,
        before.mean + share * (entropy - log_share),
        before.sum + share * o,
    );
}

// By what the sum is multiplied: 0 where the row sees no key in any set.
fn inverse_of(joined: Joined) -> f32 {
    return select(1.0 / joined.total, 0.0, joined.total == 0.0);
}

fn store_joined(item: Item, joined: Joined) {
    o[item.vector] = narrow4(joined.sum * inverse_of(joined));
    if (item.first) {
        let empty = joined.total == 0.0;
        let log_total = log_of(joined.total);
        stats[item.row] = largest_to_store(joined.largest, joined.total);
        stats[plane() + item.row] = select(log_total, 0.0, empty);
        if (ENTROPY) {
            stats[2u * plane() + item.row] = select(joined.mean * inverse_of(joined) + log_total, 0.0, empty);
        }
    }
}
