// In which unit a row is squared: squares of numbers above 2^50 would overflow where many are added, so rows that hold some
// are taken 2^78 times smaller. Storage that ends below that, NARROW, needs no second look at its rows.
const LARGE: f32 = 0x1p50;
const UNIT_OF_LARGE: f32 = 0x1p-78;

fn row_unit(first: u32, lane: u32) -> f32 {
    if (NARROW) {
        return 1.0;
    }
    var largest = 0.0;
    for (var i = lane; i < params.packs; i += WG_SIZE) {
        largest = max(largest, pack_max(abs(widen(x[first + i]))));
    }
    return select(1.0, UNIT_OF_LARGE, reduce_max(largest, lane) > LARGE);
}

// What is added to a mean of squares in that unit; where it vanishes, still enough that a row of zeros is not divided by 0.
fn eps_in(unit: f32) -> f32 {
    return max(params.eps * unit * unit, 1.1754943508222875e-38);
}

// Packs of which an invocation takes one sum: many terms that are alike, added one by one, lose the same digit each time.
const BLOCK: u32 = 128u;
