// The statistics of a row, as a kernel before left them in the first two planes of `stats`: (2 or 3, batch, heads, seq_q).
fn stats_of(at: u32) -> RowStats {
    return RowStats(stats[at], stats[plane_of(1u) + at]);
}
