// Mean and variance of a row of the body's `x` (params.packs packs), in one pass: Welford's running moments in each
// invocation, Chan's formula across the workgroup. All is relative to the row's first element, so that a row far from
// zero loses nothing and a constant row has variance zero exactly.
struct Moments {
    pivot: f32, // first element of the row
    mean: f32, // minus pivot
    variance: f32,
}

fn row_moments(first: u32, lane: u32) -> Moments {
    let pivot = pack_first(widen(x[first]));
    var mean = Pack(0.0);
    var spread = Pack(0.0);
    var count = 0.0;
    for (var i = lane; i < params.packs; i += WG_SIZE) {
        let v = widen(x[first + i]) - pivot;
        count += 1.0;
        let d = v - mean;
        mean += d / count;
        spread += d * (v - mean);
    }
    let cols = f32(params.packs * PACK);
    let row_mean = reduce_sum(pack_sum(mean) * count, lane) / cols;
    let off = mean - row_mean;
    let variance = reduce_sum(pack_sum(spread + count * off * off), lane) / cols;
    return Moments(pivot, row_mean, variance);
}
