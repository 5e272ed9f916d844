#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

fn clip(frames: usize, fps: f64) -> ClipInfo {
    ClipInfo { frames, fps, start: None, end: None }
}

fn at(fps: f64) -> FrameSampling {
    FrameSampling { fps, ..FrameSampling::default() }
}

/// Made by qwen-vl-utils 0.0.14 and by transformers 4.57.1.
#[test]
fn agrees_with_both_programs() {
    for (frames, fps, rate, utils, theirs) in CLIPS {
        let found = sample(&clip(frames, fps), &at(rate)).unwrap();
        assert_eq!(found.indices, utils, "{frames} {fps} {rate}");
        let sampling = FrameSampling { rule: FrameRule::Transformers, ..at(rate) };
        assert_eq!(sample(&clip(frames, fps), &sampling).unwrap().indices, theirs, "{frames} {fps} {rate}");
    }
}
/// Frames, their rate, the rate asked for, and what each picks.
type Clip = (usize, f64, f64, &'static [usize], &'static [usize]);
const CLIPS: [Clip; 7] = [
    (50, 25.0, 2.0, &[0, 16, 33, 49], &[0, 12, 25, 37]),
    (101, 30.0, 2.0, &[0, 20, 40, 60, 80, 100], &[0, 16, 33, 50, 67, 84]),
    (
        77,
        23.976,
        5.0,
        &[0, 5, 10, 15, 20, 25, 30, 35, 41, 46, 51, 56, 61, 66, 71, 76],
        &[0, 4, 9, 14, 19, 24, 28, 33, 38, 43, 48, 52, 57, 62, 67, 72],
    ),
    (300, 30.0, 0.25, &[0, 100, 199, 299], &[0, 75, 150, 225]),
    (
        1200,
        30.0,
        0.25,
        &[0, 133, 266, 400, 533, 666, 799, 933, 1066, 1199],
        &[0, 120, 240, 360, 480, 600, 720, 840, 960, 1080],
    ),
    (9, 4.0, 1.0, &[0, 3, 5, 8], &[0, 2, 4, 6]),
    (
        366,
        25.0,
        1.0,
        &[0, 28, 56, 84, 112, 140, 168, 197, 225, 253, 281, 309, 337, 365],
        &[0, 26, 52, 78, 104, 130, 156, 183, 209, 235, 261, 287, 313, 339],
    ),
];

#[test]
fn times_and_rates() {
    let found = sample(&clip(300, 30.0), &FrameSampling::default()).unwrap();
    assert_eq!((found.indices.len(), found.sample_fps, found.second_per_grid()), (20, 2.0, 1.0));
    assert_eq!((found.times[0], found.times[19]), (0.0, 299.0 / 30.0));
    assert_eq!(found.step_times()[0], (0.0 + 16.0 / 30.0) / 2.0);
    // What was asked for is not what came: at least 4 frames of half a second.
    let found = sample(&clip(12, 24.0), &FrameSampling::default()).unwrap();
    assert_eq!((found.indices.len(), found.sample_fps, found.second_per_grid()), (4, 8.0, 0.25));
    let found = sample(&clip(250, 25.0), &at(5.0)).unwrap();
    assert_eq!((found.indices.len(), found.second_per_grid()), (50, 0.4));
}

/// 38 minutes at a frame every 4 seconds reach the end of the clip, by either rule.
#[test]
fn a_long_clip_is_seen_whole() {
    let long = clip(38 * 60 * 30, 30.0);
    for (rule, last) in [(FrameRule::Utils, 68_399), (FrameRule::Transformers, 68_280)] {
        let found = sample(&long, &FrameSampling { rule, ..at(0.25) }).unwrap();
        assert_eq!((found.indices.len(), found.second_per_grid()), (570, 8.0));
        assert_eq!(found.indices.last(), Some(&last));
        assert_eq!(found.step_times().len(), 285);
        assert!(found.times.windows(2).all(|t| t[0] < t[1]));
    }
    // At 2 a second there are more than the most: the rate falls, and with it goes what positions are
    // computed from.
    let found = sample(&long, &FrameSampling::default()).unwrap();
    assert_eq!((found.indices.len(), found.indices.last()), (768, Some(&68_399)));
    assert!((found.second_per_grid() - 5.9375).abs() < 1e-6);
}

#[test]
fn short_clips() {
    for rule in [FrameRule::Utils, FrameRule::Transformers] {
        for frames in 1..=5 {
            let found = sample(&clip(frames, 10.0), &FrameSampling { rule, ..at(2.0) }).unwrap();
            let expected = if frames == 1 { 1 } else { frames / 2 * 2 };
            assert_eq!((found.indices.len(), found.indices[0]), (expected, 0), "{frames}");
        }
    }
    let one = sample(&clip(1, 25.0), &FrameSampling::default()).unwrap();
    assert_eq!((one.times.clone(), one.step_times(), one.second_per_grid()), (vec![0.0], vec![0.0], 0.08));
}

#[test]
fn a_part_of_a_clip() {
    let part = ClipInfo { start: Some(2.05), end: Some(5.0), ..clip(100, 10.0) };
    let found = sample(&part, &FrameSampling::default()).unwrap();
    assert_eq!((found.indices.first(), found.indices.last()), (Some(&21), Some(&50)));
    assert_eq!((found.indices.len(), found.sample_fps), (6, 2.0));
    let past = ClipInfo { start: Some(-3.0), end: Some(1e300), ..clip(100, 10.0) };
    let whole = sample(&clip(100, 10.0), &FrameSampling::default()).unwrap();
    assert_eq!(sample(&past, &FrameSampling::default()).unwrap(), whole);
    for (start, end) in [(5.0, 5.0), (7.0, 3.0), (99.0, 100.0)] {
        let empty = ClipInfo { start: Some(start), end: Some(end), ..clip(100, 10.0) };
        assert!(
            sample(&empty, &FrameSampling::default()).unwrap_err().to_string().starts_with("start and end")
        );
    }
    let lost = ClipInfo { start: Some(f64::NAN), ..clip(100, 10.0) };
    assert!(sample(&lost, &FrameSampling::default()).unwrap_err().to_string().starts_with("start: "));
}

#[test]
fn refuses_by_name() {
    let error = |clip: ClipInfo, s: FrameSampling| sample(&clip, &s).unwrap_err().to_string();
    let usual = FrameSampling::default();
    assert!(error(clip(0, 25.0), usual).starts_with("frames: expected 1 ..="));
    assert!(error(clip(usize::MAX, 25.0), usual).starts_with("frames"));
    for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(error(clip(9, fps), usual).starts_with("clip's fps"));
        assert!(error(clip(9, 25.0), at(fps)).starts_with("fps"));
    }
    assert!(error(clip(9, 25.0), FrameSampling { multiple: 0, ..usual }).starts_with("multiple"));
    for (min_frames, max_frames) in [(8, 4), (0, 1), (4, usize::MAX)] {
        assert!(
            error(clip(9, 25.0), FrameSampling { min_frames, max_frames, ..usual }).starts_with("max_frames")
        );
    }
    let none = FrameSampling { min_frames: 0, ..at(0.01) };
    assert!(error(clip(90, 25.0), none).starts_with("fps: expected enough for 2 frames"));
}

/// Over random clips: even, in order, within the clip, first frame first.
#[test]
fn frames_are_in_order() {
    let mut seed = 5u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + ((seed >> 33) % below) as usize
    };
    for _ in 0..500 {
        let (frames, fps, rate) =
            (1 + random(100_000), random(6000) as f64 / 100.0, random(500) as f64 / 100.0);
        for rule in [FrameRule::Utils, FrameRule::Transformers] {
            let found = sample(&clip(frames, fps), &FrameSampling { rule, ..at(rate) }).unwrap();
            assert!(found.indices.len().is_multiple_of(2) && found.indices.len() <= 768);
            assert!(found.indices.windows(2).all(|w| w[0] < w[1]));
            assert!(found.indices[0] == 0 && *found.indices.last().unwrap() < frames);
        }
    }
}
