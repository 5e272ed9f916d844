// The turns of a pack of pairs.
struct Turns {
    cosine: Pack,
    sine: Pack,
}

fn turns_of(token: u32, pair: u32) -> Turns {
    let a = turn_of(token, pair);
    return Turns(a.x, a.y);
}
