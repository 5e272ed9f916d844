// The turns of a pack of pairs.
struct Turns {
    cosine: Pack,
    sine: Pack,
}

fn turns_of(token: u32, pair: u32) -> Turns {
    let a = turn_of(token, pair);
    let b = turn_of(token, pair + 1u);
    let c = turn_of(token, pair + 2u);
    let d = turn_of(token, pair + 3u);
    return Turns(Pack(a.x, b.x, c.x, d.x), Pack(a.y, b.y, c.y, d.y));
}
