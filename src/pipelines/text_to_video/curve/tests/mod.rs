#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::single_range_in_vec_init, reason = "one interval is a list of intervals")]

use super::*;

mod properties;

/// 81 pixel frames at 16 a second, as Wan makes them.
fn wan() -> TimeAxis {
    TimeAxis::new(21, 4, 16.0).unwrap()
}

fn small() -> TimeAxis {
    TimeAxis::new(8, 1, 4.0).unwrap()
}

fn seconds(axis: &TimeAxis, on: &[(f64, f64)]) -> Result<TimingCurve> {
    let span = |(a, b): &(f64, f64)| Span::new(Moment::Second(*a), Moment::Second(*b));
    TimingCurve::spans(axis, &on.iter().map(span).collect::<Vec<_>>())
}

fn parse(spec: &str) -> Vec<f32> {
    TimingCurve::parse(spec, &small()).unwrap().values().to_vec()
}

#[test]
fn a_clip_plays_as_long_as_its_frames_are_shown() {
    assert_eq!((wan().pixel_frames(), wan().seconds()), (81, 5.0625));
    assert_eq!((small().pixel_frames(), small().seconds()), (8, 2.0));
    assert_eq!((wan().pixels_of(0), wan().pixels_of(1), wan().pixels_of(20)), (0..1, 1..5, 77..81));
    assert_eq!(wan().seconds_of(0), (0.0, 0.0625));
    assert_eq!(wan().seconds_of(1), (0.0625, 0.3125));
    assert_eq!(wan().seconds_of(20), (4.8125, 5.0625));
    assert_eq!(small().seconds_of(7), (1.75, 2.0));
    // All of time, each moment once.
    assert!((1..21).all(|j| wan().seconds_of(j).0 == wan().seconds_of(j - 1).1));
}

#[test]
fn seconds_cover_the_pixel_frames_on_screen() {
    // Second 1 is pixel frames 16 to 31: the last of latent frame 4, frames 5 to 7, and three of frame 8.
    let found = seconds(&wan(), &[(1.0, 2.0)]).unwrap();
    assert_eq!(&found.values()[3..10], [0.0, 0.25, 1.0, 1.0, 1.0, 0.75, 0.0]);
    assert_eq!(TimingCurve::parse("16f..32f", &wan()).unwrap(), found);
    // Half of pixel frame 1 and pixel frame 2.
    let found = seconds(&wan(), &[(0.09375, 0.1875)]).unwrap();
    assert_eq!(&found.values()[..3], [0.0, 1.5 / 4.0, 0.0]);
    assert_eq!(seconds(&wan(), &[(0.0, 9.0), (0.0, 9.0)]).unwrap(), TimingCurve::constant(21, 1.0).unwrap());
    assert_eq!(seconds(&wan(), &[(0.0, 5.0625)]).unwrap(), TimingCurve::constant(21, 1.0).unwrap());
    // The last latent frame can be asked for alone.
    assert_eq!(TimingCurve::parse("4.8125s..", &wan()).unwrap(), TimingCurve::parse("20..", &wan()).unwrap());
}

#[test]
fn times_that_binary_or_three_digits_miss_still_fall_on_frames() {
    for (fps, digits) in [(24.0, 3), (25.0, 3), (30.0, 3), (60.0, 3), (10.0, 1), (29.97, 4), (23.976, 4)] {
        for stride in [1, 4] {
            let axis = TimeAxis::new(9, stride, fps).unwrap();
            for frame in 0..axis.pixel_frames() {
                for text in [format!("{:.digits$}", frame as f64 / fps), (frame as f64 / fps).to_string()] {
                    for (form, same) in [
                        (format!("{text}s.."), format!("{frame}f..")),
                        (format!("onset:{text}s"), format!("onset:{frame}f")),
                        (format!("keys:{text}s=0.25"), format!("keys:{frame}f=0.25")),
                    ] {
                        let [found, expected] = [form, same].map(|s| TimingCurve::parse(&s, &axis).unwrap());
                        assert_eq!(found, expected, "frame {frame} of {fps} a second as {text}");
                    }
                }
            }
        }
    }
    // Tenths of a second at 30 frames a second, stepped up in floating point.
    let axis = TimeAxis::new(31, 1, 30.0).unwrap();
    let (mut at, mut steps) = (0.0, 0);
    while steps < 10 {
        let (from, to) = (Moment::Second(at), Moment::Second(at + 0.1));
        let found = TimingCurve::window(&axis, from, to, 1.0).unwrap();
        assert_eq!(found, TimingCurve::intervals(31, &[3 * steps..3 * steps + 3]).unwrap(), "{at}");
        (at, steps) = (at + 0.1, steps + 1);
    }
    // A stretch within the tolerance does not vanish, and what is farther off keeps its share.
    let found = TimingCurve::parse("0.5s..0.501s", &small()).unwrap();
    assert!(found.values()[2] > 0.0 && found.values()[2] < 0.01, "{found:?}");
    assert_eq!(parse("0s..0.76s")[3], 0.04);
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
    assert_eq!(parse("0.5s..1s"), [0., 0., 1., 1., 0., 0., 0., 0.]);
    assert_eq!(parse("..0.5s,1.5s.."), [1., 1., 0., 0., 0., 0., 1., 1.]);
    assert_eq!(parse("0s..0.75s"), parse("0..3"));
    assert_eq!(parse("1.75s.."), parse("7.."));
    assert_eq!(parse("onset:3"), [0., 0., 0., 1., 1., 1., 1., 1.]);
    assert_eq!(parse("onset:1s"), [0., 0., 0., 0., 1., 1., 1., 1.]);
    assert_eq!(parse("onset:1s"), parse("step:0s=0,1s=1"));
    assert_eq!(parse("keys:2=0,4=1,6=0.5"), [0., 0., 0., 0.5, 1., 0.75, 0.5, 0.5]);
    assert_eq!(parse("keys:0s=0,1s=1"), [0., 0.25, 0.5, 0.75, 1., 1., 1., 1.]);
    assert_eq!(parse("step:2=0,4=1,6=0.5"), [0., 0., 0., 0., 1., 1., 0.5, 0.5]);
    assert_eq!(parse("smooth:2=0,6=1"), [0., 0., 0., 0.15625, 0.5, 0.84375, 1., 1.]);
    assert_eq!(parse("ramp:2..6"), [0., 0., 0., 0.25, 0.5, 0.75, 1., 1.]);
    assert_eq!(parse("fade: 0s..1s"), [1., 0.75, 0.5, 0.25, 0., 0., 0., 0.]);
    assert_eq!(parse("offset:3"), [1., 1., 1., 0., 0., 0., 0., 0.]);
    assert_eq!(parse("onset:6@0.25"), [0., 0., 0., 0., 0., 0., 0.25, 0.25]);
    assert_eq!(parse("window:2..4"), parse("2..4"));
    assert_eq!(parse("2..4@0.5,6..@0.25"), [0., 0., 0.5, 0.5, 0., 0., 0.25, 0.25]);
    assert_eq!(parse("pulse:1/2"), parse("1..3"));
    assert_eq!(parse("pulse:1/2/4"), parse("1..3,5..7"));
    assert_eq!(parse("pulse:0s/0.25s/0.5s"), [1., 0., 1., 0., 1., 0., 1., 0.]);
    // A line up to the end of the clip, which is no frame any more.
    assert_eq!(parse("ramp:4..8"), [0., 0., 0., 0., 0., 0.25, 0.5, 0.75]);
    for same in ["ramp:4..", "ramp:1s..2s", "ramp:1s..", "ramp:4f..8f"] {
        assert_eq!(parse(same), parse("ramp:4..8"), "{same}");
    }
    // Whole numbers of periods that rounding sees as one more.
    let wan = TimeAxis::new(21, 4, 16.0).unwrap();
    for text in ["pulse:0.8s/0.1s/0.3s", "pulse:2.9s/0.2s/0.7s", "pulse:3.8s/0.05s/0.1s"] {
        assert!(TimingCurve::parse(text, &wan).is_ok(), "{text}");
    }
    assert_eq!(parse("pulse:6/3/4"), [0., 0., 0., 0., 0., 0., 1., 1.]);
    assert_eq!(parse(" ON "), [1.; 8]);
    assert_eq!(parse("on@0.5"), [0.5; 8]);
    assert_eq!(parse("off"), [0.; 8]);
    assert!(TimingCurve::parse("on", &small()).unwrap().is_constant());
    assert!(!TimingCurve::parse("3..8", &small()).unwrap().is_constant());
}

#[test]
fn pixel_frames_reach_latent_ones_by_their_share() {
    // Latent frame 1 is pixel frames 1 to 4, latent frame 2 is 5 to 8.
    let found = TimingCurve::parse("3f..=6f", &wan()).unwrap();
    assert_eq!(&found.values()[..4], [0.0, 0.5, 0.5, 0.0]);
    let found = TimingCurve::parse("..1f", &wan()).unwrap();
    assert_eq!(&found.values()[..2], [1.0, 0.0]);
    assert_eq!(TimingCurve::parse("0f..81f", &wan()).unwrap(), TimingCurve::constant(21, 1.0).unwrap());
    assert!(TimingCurve::parse("0f..82f", &wan()).is_err());
    // Pixel frames 1 to 4 of a straight line from 0 at frame 0 to 1 at frame 80.
    let found = TimingCurve::parse("keys:0f=0,80f=1", &wan()).unwrap();
    assert!((found.values()[1] - 2.5 / 80.0).abs() < 1e-6, "{found:?}");
}

#[test]
fn the_chart_shows_frames_times_and_levels() {
    let (a, b) =
        (TimingCurve::parse("4..8", &small()).unwrap(), TimingCurve::parse("on@0.5", &small()).unwrap());
    let text = chart(&small(), &[("red square", &a), ("blue cross", &b)]);
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0][2..], ["0", "1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(lines[1][2..4], ["0.00", "0.25"]);
    assert_eq!(lines[2][2..], ["·", "·", "·", "·", "█", "█", "█", "█"]);
    assert_eq!(lines[3][2..], ["▄0.50"; 8]);
    let long = chart(&TimeAxis::new(30, 4, 16.0).unwrap(), &[]);
    assert_eq!(long.lines().count(), 4, "{long}");
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
    assert!(text("1.5s..1s").contains("empty"));
    assert!(text("2s..1s").contains("which ends at 2s"));
    assert!(text("9s..10s").contains("start within"));
    assert!(text("onset:8").contains("does not start within the clip, which ends at 8"));
    assert!(text("onset:2s").contains("which ends at 2s"));
    assert!(text("offset:0").contains("empty"));
    assert!(text("onset:").contains("neither"));
    assert!(text("keys:").contains("time=value"));
    assert!(text("keys:3=0,3=1").contains("come after"));
    assert!(text("keys:3=2").contains("0 ..= 1"));
    assert!(text("keys:3=0,4s=1").contains("mixes"));
    assert!(text("keys:3=NaN").contains("0 ..= 1"));
    assert!(text("keys:5=0,3=1").contains("come after"));
    assert!(text("keys:0=0,9=1").contains("outside the clip, 0 ..= 8"));
    assert!(text("keys:0f=0,9f=1").contains("outside the clip, 0 ..= 8f"));
    assert!(text("keys:0s=0,2.5s=1").contains("outside the clip, 0 ..= 2s"));
    assert!(text("keys:-1s=0").contains("outside the clip"));
    assert!(text("3..5@1.5").contains("level 1.5"));
    assert!(text("3..5@x").contains("`x` is not a number"));
    assert!(text("on@2").contains("outside"));
    assert!(text("pulse:1").contains("start/length"));
    assert!(text("pulse:1/0").contains("positive"));
    assert!(text("pulse:1/2/1").contains("period"));
    assert!(text("pulse:1/1s").contains("mixes"));
    assert!(text("pulse:0s/1e-300s/1e-299s").contains("at most"));
    assert!(text("ramp:5..3").contains("come after"));
    assert!(text("ramp:3..9").contains("outside the clip"));
    assert!(text("sometimes:3").contains("not a form"));
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
