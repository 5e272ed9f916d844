// Bounds a number. What is none stays none, which `clamp` does not promise.
fn between(v: Pack, low: f32, high: f32) -> Pack {
    return select(select(v, Pack(low), v < Pack(low)), Pack(high), v > Pack(high));
}

fn at_least(v: Pack, low: f32) -> Pack {
    return select(v, Pack(low), v < Pack(low));
}
