// Columns j and j + pairs of a head make pair j; two of them at a time.
fn turned(i: u32, token: u32, pack: u32) -> Pack {
    let v = widen(x[i]);
    let half = params.pairs / 2u;
    if (pack >= 2u * half) {
        return v;
    }
    let second = pack >= half;
    let pair = 2u * select(pack, pack - half, second);
    let a = turn_of(token, pair);
    let b = turn_of(token, pair + 1u);
    let other = widen(x[select(i + half, i - half, second)]);
    return v * Pack(a.x, b.x) + select(-other, other, second) * Pack(a.y, b.y);
}
