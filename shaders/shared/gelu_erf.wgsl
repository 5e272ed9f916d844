// gelu(x) = x s, s = erfc(-x / sqrt(2)) / 2, and its derivative s + x exp(-x² / 2) / sqrt(2 pi).
//
// erfc(z) = t exp(P(t) - z²) for z >= 0, t = 1 / (1 + z/2); P is a least-maximum fit to 9e-8, relative to erfc itself, so
// that the small values of the left tail keep their digits.
fn gelu_gate(x: Pack) -> Pack {
    let z = 0.70710678118654752 * abs(x);
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = Pack(0.171338943);
    p = p * t - 0.825029892;
    p = p * t + 1.49557166;
    p = p * t - 1.14430758;
    p = p * t + 0.285657681;
    p = p * t - 0.189284498;
    p = p * t + 0.0975480928;
    p = p * t + 0.373987826;
    p = p * t + 1.00003009;
    p = p * t - 1.26551234;
    let tail = 0.5 * t * pack_exp(p - z * z);
    return select(tail, 1.0 - tail, x > Pack(0.0));
}

fn gelu_value(x: Pack) -> Pack {
    // Beyond 20 the gate is 0 or 1 to the last bit, and the square of a large value may overflow; below -20 the value is 0,
    // however far.
    return at_least(x, -20.0) * gelu_gate(between(x, -20.0, 20.0));
}

fn gelu_slope(x: Pack) -> Pack {
    let v = between(x, -20.0, 20.0);
    return gelu_gate(v) + v * 0.39894228040143268 * pack_exp(-0.5 * v * v);
}
