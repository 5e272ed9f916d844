// Columns j and j + pairs of a head make pair j; a pack of them at a time.
fn turned(i: u32, token: u32, pack: u32) -> Pack {
    let v = widen(x[i]);
    let half = params.pairs / PACK;
    if (pack >= 2u * half) {
        return v;
    }
    let second = pack >= half;
    let turns = turns_of(token, PACK * select(pack, pack - half, second));
    let other = widen(x[select(i + half, i - half, second)]);
    return v * turns.cosine + select(-other, other, second) * turns.sine;
}
