//! What holds for every curve, on inputs that nobody thought of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::super::*;
use proptest::prelude::*;

fn axis() -> impl Strategy<Value = TimeAxis> {
    (1usize..40, 1usize..6, 0.5f64..60.0).prop_map(|(n, stride, fps)| TimeAxis::new(n, stride, fps).unwrap())
}

/// Clips with and without a VAE, at whole and at odd rates.
fn clock() -> impl Strategy<Value = TimeAxis> {
    let fps = prop_oneof![
        prop::sample::select(vec![4.0, 7.0, 15.0, 16.0, 23.976, 24.0, 25.0, 29.97, 30.0, 59.94, 60.0]),
        0.5f64..60.0
    ];
    (1usize..30, prop::sample::select(vec![1usize, 4]), fps)
        .prop_map(|(n, stride, fps)| TimeAxis::new(n, stride, fps).unwrap())
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
        let end = axis.seconds();
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
        // What is nearer to the end of the clip than a 32nd of a frame is refused.
        let (end, from) = (axis.seconds(), from * (axis.seconds() - 0.04 / axis.fps()));
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
        // Values are f32 and there are up to 40 of them; each end may have moved by a 32nd of a frame.
        let slack = 1e-5 * end + 2.0 / 32.0 / axis.fps();
        prop_assert!((found - expected).abs() <= slack, "{} for {}", found, expected);
    }

    #[test]
    fn every_form_of_a_wish_is_the_same_curve(
        axis in clock(),
        (from, to) in (0usize..30, 1usize..30),
        (length, period) in (1usize..6, 0usize..6),
        level in prop::sample::select(vec![1.0f32, 0.5, 0.3]),
    ) {
        let n = axis.latent_frames();
        let (from, to) = (from % n, from % n + 1 + to % (n - from % n));
        let pixel = |latent: usize| if latent == n { axis.pixel_frames() } else { axis.pixels_of(latent).start };
        let units = |latent: usize| {
            [Moment::Latent(latent), Moment::Frame(pixel(latent)), Moment::Second(pixel(latent) as f64 / axis.fps())]
        };
        let within = |from: usize, to: usize| TimingCurve::new(
            (0..n).map(|j| if (from..to).contains(&j) { level } else { 0.0 }).collect()).unwrap();
        for (a, b) in units(from).into_iter().zip(units(to)) {
            prop_assert_eq!(TimingCurve::window(&axis, a, b, level).unwrap(), within(from, to), "{}..{}", a, b);
            prop_assert_eq!(TimingCurve::onset(&axis, a, level).unwrap(), within(from, n), "onset {}", a);
            prop_assert_eq!(TimingCurve::offset(&axis, b, level).unwrap(), within(0, to), "offset {}", b);
            let steps = [(a, level), (b, 0.0)];
            let before: &[(Moment, f32)] = if from == 0 { &[] } else { &[(a.zero(), 0.0)] };
            let keys: Vec<_> = before.iter().chain(&steps).copied().collect();
            prop_assert_eq!(TimingCurve::keyframes(&axis, &keys, Interpolation::Step).unwrap(), within(from, to));
            // What is typed is what is meant.
            for text in [format!("{a}..{b}@{level}"), format!("window: {a} .. {b} @{level}"), format!("step:{a}={level},{b}=0")] {
                let typed = TimingCurve::parse(&text, &axis).unwrap();
                let held = text.starts_with("step");
                prop_assert_eq!(typed, if held { within(0, to) } else { within(from, to) }, "{}", text);
            }
        }
        // A pulse in pixel frames and in seconds, and as windows.
        let period = length + period;
        let begins: Vec<usize> = (pixel(from)..axis.pixel_frames()).step_by(period).collect();
        let spans: Vec<Span> = begins.iter().map(|b| Span {
            from: Moment::Frame(*b), to: Moment::Frame((*b + length).min(axis.pixel_frames())), level }).collect();
        let expected = TimingCurve::spans(&axis, &spans).unwrap();
        let seconds = |frames: usize| Moment::Second(frames as f64 / axis.fps());
        let frames = Moment::Frame;
        let in_frames = TimingCurve::pulse(&axis, frames(pixel(from)), frames(length), Some(frames(period)), level).unwrap();
        let in_time = TimingCurve::pulse(&axis, seconds(pixel(from)), seconds(length), Some(seconds(period)), level).unwrap();
        prop_assert_eq!(&in_frames, &expected);
        prop_assert_eq!(in_time, expected);
    }

    #[test]
    fn lines_and_smooth_curves_keep_the_same_clock(
        axis in clock(),
        (from, to) in (0usize..30, 1usize..30),
        how in prop::sample::select(vec![Interpolation::Step, Interpolation::Linear, Interpolation::Smooth]),
        (low, high) in (0.0f32..=1.0, 0.0f32..=1.0),
    ) {
        let n = axis.latent_frames();
        let (from, to) = (from % n, from % n + 1 + to % (n - from % n));
        let pixel = |latent: usize| if latent == n { axis.pixel_frames() } else { axis.pixels_of(latent).start };
        let second = |latent: usize| Moment::Second(pixel(latent) as f64 / axis.fps());
        let curve = |a: Moment, b: Moment| TimingCurve::keyframes(&axis, &[(a, low), (b, high)], how).unwrap();
        let expected = curve(Moment::Latent(from), Moment::Latent(to));
        prop_assert_eq!(&curve(Moment::Frame(pixel(from)), Moment::Frame(pixel(to))), &expected);
        prop_assert_eq!(&curve(second(from), second(to)), &expected);
        // Whole before, whole behind.
        prop_assert!(expected.values()[..from].iter().all(|v| *v == low), "{:?}", expected);
        prop_assert!(expected.values()[to..].iter().all(|v| *v == high), "{:?}", expected);
    }

    #[test]
    fn a_step_anywhere_is_an_onset_there(axis in axis(), at in 0.001f64..0.999, level in 0.0f32..=1.0) {
        let at = Moment::Second(at * (axis.seconds() - 0.04 / axis.fps()));
        let steps = TimingCurve::keyframes(&axis, &[(at.zero(), 0.0), (at, level)], Interpolation::Step).unwrap();
        prop_assert_eq!(steps, TimingCurve::onset(&axis, at, level).unwrap());
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
