//! Formulas in f64 that several references share.

/// The largest of some numbers, −∞ of none; NaN where one of them is.
pub(crate) fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, |a, b| if a.is_nan() || a > b { a } else { b })
}

/// The smallest of some numbers, ∞ of none; NaN where one of them is.
pub(crate) fn smallest(values: impl Iterator<Item = f64>) -> f64 {
    -largest(values.map(|v| -v))
}

fn gelu_inner(x: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
}

/// Gelu in its tanh form.
pub(crate) fn gelu_of(x: f64) -> f64 {
    // Down to the limit at −∞.
    let x = x.clamp(-40.0, f64::INFINITY);
    0.5 * x * (1.0 + gelu_inner(x).tanh())
}

/// Its derivative.
pub(crate) fn gelu_slope(x: f64) -> f64 {
    // Up to the limits at ±∞.
    let x = x.clamp(-40.0, 40.0);
    let t = gelu_inner(x).tanh();
    let inner_slope = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope
}

/// `erfc(−x / √2) / 2`: the series of erf near zero, the continued fraction of erfc beyond.
fn gelu_erf_gate(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let root_pi = std::f64::consts::PI.sqrt();
    let tail = if z < 2.5 {
        let (mut term, mut sum) = (z, z);
        for n in 1..60 {
            let n = f64::from(n);
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        0.5 - sum / root_pi
    } else {
        let fraction = (1..100).rev().fold(z, |below, k| z + f64::from(k) / 2.0 / below);
        0.5 * (-z * z).exp() / root_pi / fraction
    };
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// Gelu in its erf form.
pub(crate) fn gelu_erf_of(x: f64) -> f64 {
    let x = x.clamp(-40.0, f64::INFINITY);
    x * gelu_erf_gate(x.clamp(-40.0, 40.0))
}

/// Its derivative.
pub(crate) fn gelu_erf_slope(x: f64) -> f64 {
    let x = x.clamp(-40.0, 40.0);
    gelu_erf_gate(x) + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

pub(crate) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::{largest, smallest};

    #[test]
    fn what_is_no_number_is_seen() {
        let all = |nan_at: usize| (0..3).map(move |i| if i == nan_at { f64::NAN } else { i as f64 });
        assert_eq!((largest(all(9)), smallest(all(9))), (2.0, 0.0));
        assert!((0..3).all(|at| largest(all(at)).is_nan() && smallest(all(at)).is_nan()));
    }
}
