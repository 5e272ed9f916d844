// The softmax of a row of scores, by which probabilities come from them.

// A row's softmax: the largest score, and the logarithm of Σ exp(score - largest). Apart they keep the digits that their sum,
// the log-sum-exp, loses where scores are large. A row that sees no key has LOWEST and 0.
struct RowStats {
    largest: f32,
    log_total: f32,
}

// A maximum may pass over NaN, and so may what is made of it: where the sum is NaN, so is the row.
fn largest_to_store(largest: f32, total: f32) -> f32 {
    return select(select(largest, total, is_nan(total)), LOWEST, total == 0.0);
}

fn is_empty(row: RowStats) -> bool {
    return row.largest <= LOWEST && row.log_total == 0.0;
}

// ln p of a score. Scores are computed anew where they are needed and may come out rounded differently: no probability is
// above 1 for that. At least -200: of less, p is 0, and 0 times infinity would be NaN.
fn log_probability(score: f32, row: RowStats) -> f32 {
    let log_p = score - row.largest - row.log_total;
    return select(select(log_p, 0.0, log_p > 0.0), -200.0, log_p < -200.0);
}
