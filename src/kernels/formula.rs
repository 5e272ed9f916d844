//! What the references share.

/// The largest of some numbers, −∞ of none; NaN where one of them is.
pub(crate) fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, |a, b| if a.is_nan() || a > b { a } else { b })
}

/// The smallest of some numbers, ∞ of none; NaN where one of them is.
pub(crate) fn smallest(values: impl Iterator<Item = f64>) -> f64 {
    -largest(values.map(|v| -v))
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
