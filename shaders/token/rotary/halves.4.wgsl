// Columns j and j + pairs of a head make pair j; four of them at a time.
fn turned(i: u32, token: u32, pack: u32) -> Pack {
    let v = widen(x[i]);
    let half = params.pairs / 4u;
    if (pack >= 2u * half) {
        return v;
    }
    let second = pack >= half;
    let pair = 4u * select(pack, pack - half, second);
    let a = turn_of(token, pair);
    let b = turn_of(token, pair + 1u);
    let c = turn_of(token, pair + 2u);
    let d = turn_of(token, pair + 3u);
    let cosine = Pack(a.x, b.x, c.x, d.x);
    let sine = Pack(a.y, b.y, c.y, d.y);
    let other = widen(x[select(i + half, i - half, second)]);
    return v * cosine + select(-other, other, second) * sine;
}
