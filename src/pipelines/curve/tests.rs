#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::single_range_in_vec_init, reason = "one interval is a list of intervals")]

use super::*;

/// 81 pixel frames at 16 a second, as Wan makes them.
fn wan() -> TimeAxis {
    TimeAxis::new(21, 4, 16.0).unwrap()
}

fn small() -> TimeAxis {
    TimeAxis::new(8, 1, 4.0).unwrap()
}

fn parse(spec: &str) -> Vec<f32> {
    TimingCurve::parse(spec, &small()).unwrap().values().to_vec()
}

#[test]
fn seconds_fall_on_whole_latent_frames() {
    for s in 0..5 {
        let second = s as f64..(s + 1) as f64;
        let found = TimingCurve::seconds(&wan(), &[second]).unwrap();
        let mut expected = TimingCurve::intervals(21, &[4 * s + 1..4 * s + 5]).unwrap();
        if s == 0 {
            // The first frame is the instant 0, which is in the first second.
            expected.values[0] = 1.0;
        }
        for (f, e) in found.values().iter().zip(expected.values()) {
            assert!((f - e).abs() < 1e-6, "second {s}: {found:?}");
        }
    }
    // Half of latent frame 1, which lasts a quarter of a second.
    let half = TimingCurve::seconds(&wan(), &[0.125..0.25]).unwrap();
    assert!((half.values()[1] - 0.5).abs() < 1e-6 && half.values()[0] == 0.0);
    assert_eq!(
        TimingCurve::seconds(&wan(), &[0.0..9.0, 0.0..9.0]).unwrap(),
        TimingCurve::constant(21, 1.0).unwrap()
    );
}

#[test]
fn pixel_frames_average_to_latent_ones() {
    let axis = TimeAxis::new(3, 4, 16.0).unwrap();
    assert_eq!(axis.pixel_frames(), 9);
    let pixels = [1.0, 0.0, 0.0, 1.0, 1.0, 0.25, 0.25, 0.25, 0.25];
    assert_eq!(TimingCurve::from_pixel_frames(&axis, &pixels).unwrap().values(), [1.0, 0.5, 0.25]);
    let plain = TimeAxis::new(4, 1, 16.0).unwrap();
    assert_eq!(TimingCurve::from_pixel_frames(&plain, &pixels[..4]).unwrap().values(), &pixels[..4]);
    assert!(
        TimingCurve::from_pixel_frames(&axis, &pixels[..8]).unwrap_err().to_string().contains("expected 9")
    );
    // The mean would be 0.5.
    assert!(TimingCurve::from_pixel_frames(&axis, &[0.0, 2.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]).is_err());
}

#[test]
fn samples_are_placed_by_their_time() {
    let found = TimingCurve::from_samples(&small(), &[0.0, 1.0], 1.0, 0.5).unwrap();
    assert_eq!(found.values(), [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    assert!(TimingCurve::from_samples(&small(), &[], 1.0, 0.0).is_err());
    assert!(TimingCurve::from_samples(&small(), &[0.0], 0.0, 0.0).is_err());
    assert!(TimingCurve::from_samples(&small(), &[0.0, 1.0], 1e300, -1e300).is_ok());
}

#[test]
fn parses_every_form() {
    assert_eq!(parse("0, 0,0,1,1,1,0.5,1"), [0., 0., 0., 1., 1., 1., 0.5, 1.]);
    assert_eq!(parse("3..8"), [0., 0., 0., 1., 1., 1., 1., 1.]);
    assert_eq!(parse("3..=4"), [0., 0., 0., 1., 1., 0., 0., 0.]);
    assert_eq!(parse("..2, 6.."), [1., 1., 0., 0., 0., 0., 1., 1.]);
    assert_eq!(parse("0.5s..1s"), [0., 0., 0., 1., 1., 0., 0., 0.]);
    assert_eq!(parse("..0.5s,1.5s.."), [1., 1., 1., 0., 0., 0., 0., 1.]);
    assert_eq!(parse("onset:3"), [0., 0., 0., 1., 1., 1., 1., 1.]);
    assert_eq!(parse("onset:1s"), [0., 0., 0., 0., 0., 1., 1., 1.]);
    assert_eq!(parse("keys:2=0,4=1,6=0.5"), [0., 0., 0., 0.5, 1., 0.75, 0.5, 0.5]);
    assert_eq!(parse("keys:0s=0,1s=1"), [0., 0.25, 0.5, 0.75, 1., 1., 1., 1.]);
    assert_eq!(parse(" ON "), [1.; 8]);
    assert!(TimingCurve::parse("on", &small()).unwrap().is_constant());
    assert!(!TimingCurve::parse("3..8", &small()).unwrap().is_constant());
}

#[test]
fn refuses_with_the_offending_part() {
    let text =
        |spec: &str| TimingCurve::parse(spec, &small()).map(|c| format!("{c:?}")).unwrap_err().to_string();
    assert!(text("").contains("empty"));
    assert!(text("0,1").contains("expected 8 values"));
    assert!(text("0,x,1").contains("`x` is not a number"));
    assert!(text("0,0,0,NaN,0,0,0,0").contains("frame 3 is NaN"));
    assert!(text("0,0,0,1.5,0,0,0,0").contains("frame 3 is 1.5"));
    assert!(text("0,0,0,inf,0,0,0,0").contains("outside"));
    assert!(text("3..9").contains("3..9"));
    assert!(text("3..3").contains("empty"));
    assert!(text("5..3").contains("empty"));
    assert!(text("3..=18446744073709551615").contains("not within"));
    assert!(text("1..2s").contains("mixes"));
    assert!(text("1..2,1s..2s").contains("mixes"));
    assert!(text("1..2,3").contains("`3` is not an interval"));
    assert!(text("-1..2").contains("neither"));
    assert!(text("NaNs..2s").contains("neither"));
    assert!(text("2s..1s").contains("empty"));
    assert!(text("9s..10s").contains("start within"));
    assert!(text("onset:8").contains("empty"));
    assert!(text("onset:").contains("neither"));
    assert!(text("keys:").contains("time=value"));
    assert!(text("keys:3=0,3=1").contains("come after"));
    assert!(text("keys:3=2").contains("0 ..= 1"));
    assert!(text("keys:3=0,4s=1").contains("mixes"));
    assert!(text("often").contains("not a number"));
}

#[test]
fn axes_and_lengths_are_bounded() {
    for (frames, stride, fps) in
        [(0, 4, 16.0), (4, 0, 16.0), (usize::MAX, 4, 16.0), (21, 4, 0.0), (21, 4, f64::NAN)]
    {
        assert!(TimeAxis::new(frames, stride, fps).is_err());
    }
    assert!(TimingCurve::constant(usize::MAX, 1.0).is_err());
    assert!(TimingCurve::intervals(0, &[]).is_err());
    assert!(TimingCurve::new(vec![]).is_err());
    assert!(TimingCurve::new(vec![-0.1]).is_err());
    assert!(TimingCurve::constant(3, 0.5).unwrap().require_frames(4).is_err());
}
