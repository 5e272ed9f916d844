// Mean of the squares of a row of the body's `x` (params.packs packs).
struct Magnitude {
    unit: f32, // in which the row is taken
    inverse: f32, // 1 / sqrt(mean of squares + eps)
}

fn row_magnitude(first: u32, lane: u32) -> Magnitude {
    let unit = row_unit(first, lane);
    var squares = Pack(0.0);
    for (var start = lane; start < params.packs; start += WG_SIZE * BLOCK) {
        var block = Pack(0.0);
        for (var i = start; i < min(start + WG_SIZE * BLOCK, params.packs); i += WG_SIZE) {
            let v = widen(x[first + i]) * unit;
            block += v * v;
        }
        squares += block;
    }
    let mean = reduce_sum(pack_sum(squares), lane) / f32(params.packs * PACK);
    return Magnitude(unit, inverseSqrt(mean + eps_in(unit)));
}

// An element of the row by its root mean square.
fn normed(m: Magnitude, v: Pack) -> Pack {
    return (v * m.unit) * m.inverse;
}
