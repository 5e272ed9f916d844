//! Results against expectations.

use std::fmt;

use foveal::{HostTensor, Shape};

use super::case::{Bound, Expected};

/// One result of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Sizes; axes of size 1 do not matter.
    pub shape: Shape,
    /// Values, row-major.
    pub data: Vec<f64>,
}

impl From<HostTensor> for Value {
    fn from(tensor: HostTensor) -> Self {
        Self { shape: tensor.shape().clone(), data: tensor.data().iter().map(|&x| x.into()).collect() }
    }
}

/// How one tensor compares.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Name of the tensor or check, without `out/`.
    pub name: String,
    /// ‖result − expected‖ / ‖expected‖, where that is asked for.
    pub rel_l2: Option<f64>,
    /// Largest |result − expected|; `None` where nothing could be measured.
    pub max_abs: Option<f64>,
    /// Why it fails, if so.
    pub failure: Option<String>,
}

impl Outcome {
    /// A failure without a measurement.
    pub fn failed(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), rel_l2: None, max_abs: None, failure: Some(reason.into()) }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.failure.as_deref().unwrap_or("ok"))
    }
}

/// Compares one tensor. Anything that is not provably within the bound fails, NaN above all.
pub fn compare(name: &str, expected: &Expected, found: &Value) -> Outcome {
    if squeezed(&expected.shape) != squeezed(&found.shape) || expected.data.len() != found.data.len() {
        return Outcome::failed(name, format!("expected shape {}, found {}", expected.shape, found.shape));
    }
    if let Some(i) = expected.data.iter().position(|x| x.is_nan()) {
        return Outcome::failed(
            name,
            format!("the expectation itself is NaN at {}", index(&expected.shape, i)),
        );
    }
    let pairs = || found.data.iter().zip(&expected.data);
    // Equal infinities differ by nothing.
    let difference = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a - b).abs() };
    let wrong: Vec<usize> = pairs().enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect();
    let (mut worst, mut max_abs) = (0, 0.0f64);
    for (i, d) in pairs().map(difference).enumerate() {
        // The first NaN wins and stays.
        if !max_abs.is_nan() && (d.is_nan() || d > max_abs) {
            (worst, max_abs) = (i, d);
        }
    }
    let error = pairs().map(difference).map(|d| d * d).sum::<f64>().sqrt();
    let size = expected.data.iter().map(|b| b * b).sum::<f64>().sqrt();
    let rel_l2 = if error == 0.0 { 0.0 } else { error / size };
    let show = |i: usize| {
        format!("{}: {} instead of {}", index(&expected.shape, i), found.data[i], expected.data[i])
    };
    let mut outcome =
        Outcome { name: name.into(), rel_l2: Some(rel_l2), max_abs: Some(max_abs), failure: None };
    match expected.bound {
        Bound::Exact => {
            if !wrong.is_empty() {
                let first: Vec<String> = wrong.iter().take(5).map(|&i| show(i)).collect();
                let count = format!("{} of {} elements differ", wrong.len(), found.data.len());
                outcome.failure = Some(format!("{count}; {}", first.join(", ")));
            }
        }
        Bound::Within { rel_l2: relative, max_abs: absolute } => {
            let mut broken = Vec::new();
            match relative {
                Some(limit) if within(rel_l2, limit) => {}
                Some(limit) => broken.push(format!("rel_l2 {rel_l2:.3e} > {limit:.3e}")),
                None => outcome.rel_l2 = None,
            }
            if !within(max_abs, absolute) {
                broken.push(format!("max_abs {max_abs:.3e} > {absolute:.3e}"));
            }
            if !broken.is_empty() {
                let wild = found.data.iter().filter(|x| !x.is_finite()).count();
                let wild = if wild > 0 { format!(", {wild} not finite") } else { String::new() };
                let count = format!("{} elements{wild}", found.data.len());
                outcome.failure = Some(format!("{}; {count}; worst {}", broken.join(", "), show(worst)));
            }
        }
    }
    outcome
}

/// False for NaN, on either side.
fn within(value: f64, limit: f64) -> bool {
    value <= limit
}

fn squeezed(shape: &Shape) -> Vec<usize> {
    shape.dims().iter().copied().filter(|&d| d != 1).collect()
}

/// The place of a row-major element: `[1, 0, 7]`.
fn index(shape: &Shape, mut flat: usize) -> Shape {
    let mut place: Vec<usize> = shape
        .dims()
        .iter()
        .rev()
        .map(|&d| {
            let i = flat % d.max(1);
            flat /= d.max(1);
            i
        })
        .collect();
    place.reverse();
    place.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(data: &[f64], bound: Bound) -> Expected {
        Expected { shape: [data.len()].into(), data: data.to_vec(), bound }
    }

    fn found(data: &[f64]) -> Value {
        Value { shape: [data.len()].into(), data: data.to_vec() }
    }

    fn passes(expected: &Expected, data: &[f64]) -> bool {
        compare("x", expected, &found(data)).failure.is_none()
    }

    const BOTH: Bound = Bound::Within { rel_l2: Some(1e-3), max_abs: 1e-2 };

    #[test]
    fn both_bounds_have_to_hold() {
        let e = expected(&[3.0, 4.0], BOTH);
        let outcome = compare("x", &e, &found(&[3.0, 4.001]));
        assert!(outcome.failure.is_none());
        assert!((outcome.rel_l2.unwrap_or(0.0) - 2e-4).abs() < 1e-9);
        assert!((outcome.max_abs.unwrap_or(0.0) - 1e-3).abs() < 1e-9);
        assert!(!passes(&e, &[3.0, 4.009]), "rel_l2 alone is broken");
        let mut large = vec![100.0; 100];
        let e = expected(&large, BOTH);
        large[7] += 0.02;
        assert!(!passes(&e, &large), "max_abs alone is broken");
        let text = compare("x", &e, &found(&large)).to_string();
        assert!(text.contains("worst [7]") && !text.contains("rel_l2"), "{text}");
    }

    #[test]
    fn what_is_not_a_number_fails() {
        let e = expected(&[3.0, 4.0], Bound::Within { rel_l2: None, max_abs: f64::INFINITY });
        assert!(passes(&e, &[9.0, -9.0]));
        assert!(!passes(&e, &[f64::NAN, 4.0]));
        let text = compare("x", &expected(&[1.0, 2.0], BOTH), &found(&[1.0, f64::NAN])).to_string();
        assert!(text.contains("1 not finite; worst [1]"), "{text}");
        assert!(!passes(&expected(&[f64::NAN], BOTH), &[f64::NAN]));
        assert!(!passes(&expected(&[1.0], BOTH), &[f64::INFINITY]));
    }

    #[test]
    fn an_expectation_of_zero_is_bounded_absolutely() {
        let e = expected(&[0.0, 0.0], Bound::Within { rel_l2: None, max_abs: 1e-6 });
        assert!(passes(&e, &[1e-7, 0.0]));
        assert_eq!(compare("x", &e, &found(&[1e-7, 0.0])).rel_l2, None);
        assert!(!passes(&e, &[1e-5, 0.0]));
        assert!(passes(&expected(&[0.0], BOTH), &[0.0]));
        assert!(!passes(&expected(&[0.0], BOTH), &[1e-9]), "a relative bound of zero is zero");
    }

    #[test]
    fn integers_have_to_match() {
        let e = expected(&[1.0, 2.0, 3.0], Bound::Exact);
        assert!(passes(&e, &[1.0, 2.0, 3.0]));
        let text = compare("ids", &e, &found(&[1.0, 5.0, 4.0])).to_string();
        assert_eq!(text, "ids: 2 of 3 elements differ; [1]: 5 instead of 2, [2]: 4 instead of 3");
        assert!(!passes(&e, &[1.0, 2.0, f64::NAN]));
    }

    #[test]
    fn shapes_agree_up_to_axes_of_one() {
        let e = Expected { shape: [1, 2, 3].into(), data: vec![0.0; 6], bound: Bound::Exact };
        let value = |dims: &[usize]| Value { shape: dims.into(), data: vec![0.0; dims.iter().product()] };
        assert!(compare("x", &e, &value(&[2, 3])).failure.is_none());
        assert!(compare("x", &e, &value(&[2, 1, 3, 1])).failure.is_none());
        for dims in [&[3, 2][..], &[6], &[2, 2], &[]] {
            assert!(compare("x", &e, &value(dims)).failure.is_some(), "{dims:?}");
        }
        assert_eq!(index(&[1, 2, 3].into(), 4).to_string(), "[0, 1, 1]");
    }
}
