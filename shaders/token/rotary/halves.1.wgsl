// Columns j and j + pairs of a head make pair j.
fn turned(i: u32, token: u32, pack: u32) -> Pack {
    let v = widen(x[i]);
    if (pack >= 2u * params.pairs) {
        return v;
    }
    if (pack < params.pairs) {
        let turn = turn_of(token, pack);
        return v * turn.x - widen(x[i + params.pairs]) * turn.y;
    }
    let turn = turn_of(token, pack - params.pairs);
    return widen(x[i - params.pairs]) * turn.y + v * turn.x;
}
