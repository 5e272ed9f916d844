// The probability of key j for query i of head h from its score without bias; 0 where the mask hides it.
fn probability_of(b: u32, h: u32, i: u32, j: u32, score: f32) -> f32 {
    return probability_by(b, h, i, j, score, stats_of(row_at(b, h, i)));
}

// The same where the statistics of the row are at hand.
fn probability_by(b: u32, h: u32, i: u32, j: u32, score: f32, row: RowStats) -> f32 {
    let bias = mask_bias(b, h, i, j);
    let p = exp_of(log_probability(score + bias, row));
    return select(0.0, p, bias > MASKED);
}
