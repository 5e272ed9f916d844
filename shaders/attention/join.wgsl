// A row's attention over several sets of keys from its attention over each.
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

fn store_joined(at: u32, plane: u32, joined: Joined) {
    let empty = joined.total == 0.0;
    let log_total = log_of(joined.total);
    stats[at] = largest_to_store(joined.largest, joined.total);
    stats[plane + at] = select(log_total, 0.0, empty);
    if (ENTROPY) {
        stats[2u * plane + at] = select(joined.mean * inverse_of(joined) + log_total, 0.0, empty);
    }
}
