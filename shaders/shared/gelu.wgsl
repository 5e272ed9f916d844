// gelu(x) = x s, s = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x³), and its derivative.
// The logistic form keeps the small values of the left tail, where 1 + tanh(u) cancels. The bounds keep exp finite;
// beyond them s is 0 or 1 to the last bit.
fn gelu_gate(x: Pack) -> Pack {
    let u2 = 1.5957691216057308 * (x + 0.044715 * x * x * x);
    return 1.0 / (1.0 + pack_exp(-between(u2, -80.0, 80.0)));
}

fn gelu_value(x: Pack) -> Pack {
    // Below -20 the value is 0, however far.
    let v = at_least(x, -20.0);
    return v * gelu_gate(v);
}

fn gelu_slope(x: Pack) -> Pack {
    // Beyond 20 the slope is 0 or 1 to the last bit and x³ may overflow.
    let v = between(x, -20.0, 20.0);
    let s = gelu_gate(v);
    return s + v * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * v * v);
}
