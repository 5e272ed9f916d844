//! What holds for every curve, on inputs that nobody thought of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;

fn axis() -> impl Strategy<Value = TimeAxis> {
    (1usize..40, 1usize..6, 0.5f64..60.0).prop_map(|(n, stride, fps)| TimeAxis::new(n, stride, fps).unwrap())
}

/// Pieces of the grammar in any order, so that most inputs get past the first check.
fn spec() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "onset:",
        "offset:",
        "window:",
        "pulse:",
        "ramp:",
        "fade:",
        "keys:",
        "step:",
        "smooth:",
        "on",
        "off",
        "..",
        "..=",
        ",",
        "/",
        "=",
        "@",
        "s",
        "f",
        "0",
        "1",
        "3",
        "0.5",
        "7",
        "-1",
        "NaN",
        "inf",
        "1e300",
        "99999999999999999999",
        " ",
        "é",
        "audio:",
    ]);
    prop_oneof![prop::collection::vec(piece, 0..10).prop_map(|p| p.concat()), any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn parsing_never_panics_and_gives_a_value_a_frame(spec in spec(), axis in axis()) {
        if let Ok(curve) = TimingCurve::parse(&spec, &axis) {
            prop_assert_eq!(curve.frames(), axis.latent_frames());
            prop_assert!(curve.values().iter().all(|v| (0.0..=1.0).contains(v)), "{:?}", curve);
        }
    }

    #[test]
    fn between_two_keyframes_a_curve_is_monotone_and_inside(
        axis in axis(),
        (a, b) in (0.0f32..=1.0, 0.0f32..=1.0),
        (t0, t1) in (0.0f64..1.0, 0.0f64..1.0),
        how in prop::sample::select(vec![Interpolation::Step, Interpolation::Linear, Interpolation::Smooth]),
    ) {
        let end = axis.pixel_frames() as f64 / axis.fps();
        prop_assume!(t0 != t1);
        let (t0, t1) = (t0.min(t1), t0.max(t1));
        let keys = [(Moment::Second(t0 * end), a), (Moment::Second(t1 * end), b)];
        let curve = TimingCurve::keyframes(&axis, &keys, how).unwrap();
        // The mean over a latent frame is rounded to f32.
        let slack = 1e-6;
        for pair in curve.values().windows(2) {
            prop_assert!(if a <= b { pair[1] >= pair[0] - slack } else { pair[1] <= pair[0] + slack }, "{:?}", curve);
        }
        let inside = (a.min(b) - slack)..=(a.max(b) + slack);
        prop_assert!(curve.values().iter().all(|v| inside.contains(v)), "{:?}", curve);
    }

    #[test]
    fn a_span_has_the_area_of_its_time(axis in axis(), from in 0.0f64..1.0, share in 0.01f64..1.0, level in 0.0f32..=1.0) {
        prop_assume!(axis.pixel_frames() > 1);
        let end = (axis.pixel_frames() - 1) as f64 / axis.fps();
        // Not from 0, which has the instant that is frame 0 too.
        let from = (from * 0.9 + 0.05) * end;
        let to = from + share * (end - from);
        let curve = TimingCurve::window(&axis, Moment::Second(from), Moment::Second(to), level).unwrap();
        let found: f64 = curve
            .values()
            .iter()
            .enumerate()
            .map(|(j, v)| {
                let (a, b) = axis.seconds_of(j);
                f64::from(*v) * (b - a)
            })
            .sum();
        let expected = (to - from) * f64::from(level);
        // Values are f32 and there are up to 40 of them.
        prop_assert!((found - expected).abs() <= 1e-5 * end, "{} for {}", found, expected);
    }

    #[test]
    fn a_pulse_in_any_unit_is_bounded(axis in axis(), at in 0usize..50, length in 0usize..50, period in 0usize..50) {
        for unit in [Moment::Latent, Moment::Frame, |n| Moment::Second(n as f64)] {
            if let Ok(curve) = TimingCurve::pulse(&axis, unit(at), unit(length), Some(unit(period)), 1.0) {
                prop_assert_eq!(curve.frames(), axis.latent_frames());
            }
        }
    }
}
