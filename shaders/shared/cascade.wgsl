// Sums of many terms: a running sum of up to 128 terms, of as many such sums, and of those. One sum over all would lose a
// digit for every ten times as many terms, where many are alike; this loses next to none.
struct Cascade {
    terms: Term,
    blocks: Term,
    total: Term,
    count: u32,
}

fn with_term(before: Cascade, term: Term) -> Cascade {
    var sum = before;
    sum.terms += term;
    sum.count += 1u;
    if (sum.count % 128u == 0u) {
        sum.blocks += sum.terms;
        sum.terms = Term();
        if (sum.count % 16384u == 0u) {
            sum.total += sum.blocks;
            sum.blocks = Term();
        }
    }
    return sum;
}

fn sum_of(sum: Cascade) -> Term {
    return sum.total + (sum.blocks + sum.terms);
}
