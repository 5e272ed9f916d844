// The statistics of a row that `attention_backward_delta` left: (3, batch, heads, seq_q).
fn stats_of(at: u32) -> RowStats {
    return RowStats(stats[at], stats[plane_of(1u) + at]);
}

fn delta_of(at: u32) -> f32 {
    return stats[2u * plane_of(1u) + at];
}
