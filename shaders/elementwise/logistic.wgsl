// Logistic function; the bounds keep exp finite, beyond them the result is 0 or 1 to the last bit.
fn logistic(v: Pack) -> Pack {
    return 1.0 / (1.0 + pack_exp(-between(v, -80.0, 80.0)));
}
