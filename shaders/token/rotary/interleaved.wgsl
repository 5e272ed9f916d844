// Columns 2j and 2j + 1 of a head make pair j.
fn turned(i: u32, token: u32, pack: u32) -> Pack {
    let v = widen(x[i]);
    if (pack >= params.pairs) {
        return v;
    }
    let turn = turn_of(token, pack);
    return Pack(v.x * turn.x - v.y * turn.y, v.x * turn.y + v.y * turn.x);
}
