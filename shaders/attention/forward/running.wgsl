// The softmax of rows of which the largest score is not known yet. `Rows` is a number of one row, or of each of four.

// Relative to a score, the largest so far: Σ p with p = exp(score - largest), and Σ p · (score - largest).
struct Sums {
    total: Rows,
    weighted: Rows,
}

// How far sums fall as a larger score comes. At most 200 nats: further apart one of both counts for nothing, and 0 times
// infinity would be NaN.
fn fall_of(before: Rows, largest: Rows) -> Rows {
    return max(before - largest, Rows(-200.0));
}

fn fallen(sums: Sums, fall: Rows) -> Sums {
    let shrink = exp(fall);
    var weighted = sums.weighted;
    if (ENTROPY) {
        weighted = shrink * (weighted + fall * sums.total);
    }
    return Sums(shrink * sums.total, weighted);
}

fn together(a: Sums, b: Sums) -> Sums {
    return Sums(a.total + b.total, a.weighted + b.weighted);
}
