// The softmax of a row of scores, by which probabilities come from them.
const LOWEST: f32 = -3.4028234663852886e38;

// A row's softmax: the largest score, and the logarithm of Σ exp(score - largest). Apart they keep the digits that their sum,
// the log-sum-exp, loses where scores are large. A row that sees no key has LOWEST and 0.
struct RowStats {
    largest: f32,
    log_total: f32,
}

fn is_empty(row: RowStats) -> bool {
    return row.largest <= LOWEST && row.log_total == 0.0;
}

// ln p of a score. Scores are computed anew where they are needed and may come out rounded differently: no probability is
// above 1 for that.
fn log_probability(score: f32, row: RowStats) -> f32 {
    let log_p = score - row.largest - row.log_total;
    return select(log_p, 0.0, log_p > 0.0);
}
