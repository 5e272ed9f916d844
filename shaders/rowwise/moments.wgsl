// Mean and variance of a row of the body's `x` (params.packs packs), in one pass: Welford's running moments in each
// invocation, Chan's formula across the workgroup. All is relative to the row's first element, so that a row far from
// zero loses nothing and a constant row has variance zero exactly.
struct Moments {
    unit: f32, // in which the row is taken
    pivot: f32, // first element of the row
    mean: f32, // minus pivot
    inverse: f32, // 1 / sqrt(variance + eps)
}

fn row_moments(first: u32, lane: u32) -> Moments {
    let unit = row_unit(first, lane);
    let pivot = pack_first(widen(x[first])) * unit;
    var mean = Pack(0.0);
    var spread = Pack(0.0);
    var count = 0.0;
    for (var start = lane; start < params.packs; start += WG_SIZE * BLOCK) {
        var block = Pack(0.0);
        for (var i = start; i < min(start + WG_SIZE * BLOCK, params.packs); i += WG_SIZE) {
            let v = widen(x[first + i]) * unit - pivot;
            count += 1.0;
            let d = v - mean;
            mean += d / count;
            block += d * (v - mean);
        }
        spread += block;
    }
    let cols = f32(params.packs * PACK);
    let row_mean = reduce_sum(pack_sum(mean) * count, lane) / cols;
    let off = mean - row_mean;
    let variance = reduce_sum(pack_sum(spread + count * off * off), lane) / cols;
    return Moments(unit, pivot, row_mean, inverseSqrt(variance + eps_in(unit)));
}

// An element of the row, less its mean, by its standard deviation.
fn normed(m: Moments, v: Pack) -> Pack {
    return (v * m.unit - m.pivot - m.mean) * m.inverse;
}
