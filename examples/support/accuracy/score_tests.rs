//! The whole chain from pictures to columns: real clips pass, each cheat fails in the column that is there for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::shared::detector::Detector;
use crate::shared::repository::in_repository;
use image::RgbImage;

const SIDE: usize = 16;
const LATE: [f32; 8] = [0., 0., 0., 0., 1., 1., 1., 1.];

fn detector() -> Detector {
    Detector::open(&in_repository("models/tiny-wan")).unwrap().unwrap()
}

/// Objects of a clip, and the frames in which each is visible.
type Shown = Vec<(String, Vec<f32>)>;

/// Clips of the renderer that drew the training data.
fn real_clips() -> Vec<(Vec<Vec<u8>>, Shown)> {
    #[derive(Deserialize)]
    struct Note {
        phrase: String,
        visible: Vec<bool>,
    }
    let folder = in_repository("examples/support/shared/fixtures");
    let sheet: RgbImage = image::open(folder.join("real_clips.png")).unwrap().into_rgb8();
    let notes = std::fs::read_to_string(folder.join("real_clips.json")).unwrap();
    let notes: Vec<Vec<Note>> = serde_json::from_str(&notes).unwrap();
    let pixel = |x: usize, y: usize| sheet.get_pixel(x as u32, y as u32).0;
    let frame = |row: usize, f: usize| -> Vec<u8> {
        (0..SIDE * SIDE).flat_map(|i| pixel(f * SIDE + i % SIDE, row * SIDE + i / SIDE)).collect()
    };
    let clip = |(row, objects): (usize, Vec<Note>)| {
        let shown = objects
            .into_iter()
            .map(|n| (n.phrase, n.visible.iter().map(|v| f32::from(u8::from(*v))).collect()));
        ((0..8).map(|f| frame(row, f)).collect(), shown.collect())
    };
    notes.into_iter().enumerate().map(clip).collect()
}

fn score(frames: &[Vec<u8>], objects: &[(String, Vec<f32>)]) -> Score {
    let detector = detector();
    let list: Vec<_> = objects
        .iter()
        .map(|(phrase, curve)| serde_json::json!({ "phrase": phrase, "curve": curve }))
        .collect();
    let task = serde_json::json!({ "prompt": "", "seed": 0, "target": objects[0].0, "objects": list });
    let task: Task = serde_json::from_value(task).unwrap();
    let reports = detector.read(frames, &task.asked(&detector).unwrap());
    Score::new((Mode::Default, 0, &task), &reports, None, 0.0, Vec::new()).unwrap()
}

/// The real clip of one object, wanted at `curve`: the object is drawn where `drawn` says.
fn one(phrase: &str, drawn: [f32; 8], curve: [f32; 8], paint: impl Fn(usize, [u8; 3]) -> [u8; 3]) -> Score {
    let (frames, shown) =
        real_clips().into_iter().find(|(_, shown)| shown.len() == 1 && shown[0].0 == phrase).unwrap();
    let visible = shown[0].1.iter().position(|v| *v == 1.0).unwrap();
    let frame = |f: usize| -> Vec<u8> {
        let (pixels, _) = frames[visible].as_chunks::<3>();
        pixels.iter().flat_map(|p| paint(f, if drawn[f] == 1.0 { *p } else { [0; 3] })).collect()
    };
    score(&(0..8).map(frame).collect::<Vec<_>>(), &[(phrase.to_owned(), curve.to_vec())])
}

fn as_drawn(_: usize, pixel: [u8; 3]) -> [u8; 3] {
    pixel
}

const OBJECTS: [&str; 4] = ["red square", "green ring", "blue cross", "yellow square"];

#[test]
fn real_clips_have_full_marks_for_their_own_timing() {
    let clips = real_clips();
    assert_eq!(clips.len(), 24);
    for (frames, shown) in &clips {
        let found = score(frames, shown);
        let columns = [
            found.accuracy,
            found.exact,
            found.clean,
            found.all_present,
            found.shape_right.unwrap(),
            found.one_object.unwrap(),
        ];
        assert_eq!((columns, found.doubled), ([1.0; 6], 0), "{shown:?}: {found:?}");
        assert!(found.presence == Some(1.0) && found.absence.is_none_or(|a| a == 1.0));
        assert!(found.others.is_none_or(|o| o == 1.0) && found.others.is_some() == (shown.len() == 2));
    }
}

#[test]
fn real_clips_have_no_marks_for_the_opposite_timing() {
    for (frames, mut shown) in real_clips() {
        shown[0].1.iter_mut().for_each(|v| *v = 1.0 - *v);
        let found = score(&frames, &shown);
        assert_eq!((found.accuracy, found.exact), (0.0, 0.0), "{shown:?}");
    }
}

#[test]
fn an_object_that_is_always_there_has_presence_without_absence() {
    for phrase in OBJECTS {
        let found = one(phrase, [1.; 8], LATE, as_drawn);
        assert_eq!(
            (found.presence, found.absence, found.accuracy, found.exact),
            (Some(1.0), Some(0.0), 0.5, 0.0)
        );
        let never = one(phrase, [0.; 8], LATE, as_drawn);
        assert_eq!(
            (never.presence, never.absence, never.all_present, never.exact),
            (Some(0.0), Some(1.0), 0.0, 0.0)
        );
    }
}

#[test]
fn a_flickering_object_is_not_exact() {
    for phrase in OBJECTS {
        let found = one(phrase, [0., 1., 0., 1., 0., 1., 0., 1.], LATE, as_drawn);
        assert_eq!(
            (found.accuracy, found.presence, found.absence, found.exact),
            (0.5, Some(0.5), Some(0.5), 0.0)
        );
    }
}

#[test]
fn a_full_frame_of_the_colour_has_no_marks() {
    for phrase in OBJECTS {
        let rgb = detector().colour_in(phrase).unwrap();
        let found = one(phrase, LATE, LATE, |_, _| rgb);
        assert_eq!((found.accuracy, found.clean, found.exact), (0.0, 0.0, 0.0), "{phrase}");
        // Only where it is wanted: the frames without it are right, and the others are not.
        let timed = one(phrase, LATE, LATE, |f, p| if LATE[f] == 1.0 { rgb } else { p });
        assert_eq!(
            (timed.presence, timed.absence, timed.clean, timed.exact),
            (Some(0.0), Some(1.0), 0.5, 0.0)
        );
    }
}

#[test]
fn an_object_that_is_drawn_twice_has_no_marks_where_it_is() {
    for phrase in OBJECTS {
        let (frames, shown) =
            real_clips().into_iter().find(|(_, s)| s.len() == 1 && s[0].0 == phrase).unwrap();
        let curve = shown[0].1.clone();
        // Each frame over itself, half a frame aside: the second object may be cut by the edge.
        let twice = |frame: &Vec<u8>| -> Vec<u8> {
            let (pixels, _) = frame.as_chunks::<3>();
            let aside = |i: usize| pixels[i / SIDE * SIDE + (i + SIDE / 2) % SIDE];
            (0..pixels.len()).flat_map(|i| if pixels[i] == [0; 3] { aside(i) } else { pixels[i] }).collect()
        };
        let found = score(&frames.iter().map(twice).collect::<Vec<_>>(), &shown);
        let on = curve.iter().filter(|v| **v == 1.0).count();
        assert_eq!((found.presence, found.one_object, found.doubled), (Some(0.0), Some(0.0), on), "{phrase}");
        assert_eq!(found.accuracy, 1.0 - on as f64 / 8.0);
        assert!(found.line().contains(&format!("drawn twice or torn in {on} of 8 frames")));
        // Where it is not wanted it is no better.
        let never =
            score(&frames.iter().map(twice).collect::<Vec<_>>(), &[(phrase.to_owned(), vec![0.0; 8])]);
        assert_eq!(never.absence, Some(1.0 - on as f64 / 8.0));
    }
}

#[test]
fn a_half_faded_object_is_not_there() {
    for phrase in OBJECTS {
        let found = one(phrase, LATE, LATE, |_, p| p.map(|v| v / 2));
        assert_eq!((found.presence, found.exact), (Some(0.0), 0.0), "{phrase}");
    }
}

#[test]
fn a_wrong_shape_is_not_exact() {
    for (phrase, asked) in
        [("red square", "red ring"), ("green ring", "green cross"), ("blue cross", "blue square")]
    {
        let (frames, mut shown) =
            real_clips().into_iter().find(|(_, s)| s.len() == 1 && s[0].0 == phrase).unwrap();
        shown[0].0 = asked.into();
        let found = score(&frames, &shown);
        assert_eq!((found.shape_right, found.exact), (Some(0.0), 0.0), "{phrase} for {asked}");
    }
}

#[test]
fn a_wrong_colour_has_no_presence_and_no_clean_frame() {
    for (phrase, asked) in
        [("red square", "blue square"), ("green ring", "yellow ring"), ("yellow square", "red square")]
    {
        let (frames, mut shown) =
            real_clips().into_iter().find(|(_, s)| s.len() == 1 && s[0].0 == phrase).unwrap();
        let on = mean(&shown[0].1.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()).unwrap();
        shown[0].0 = asked.into();
        let found = score(&frames, &shown);
        assert_eq!(
            (found.presence, found.exact, found.all_present),
            (Some(0.0), 0.0, 0.0),
            "{phrase} for {asked}"
        );
        assert!((found.clean - (1.0 - on)).abs() < 1e-9);
    }
}

#[test]
fn a_fractional_curve_asks_where_it_is_high() {
    let curve = [0., 0.3, 0.7, 1., 1., 0.7, 0.3, 0.];
    let drawn = curve.map(|v: f32| v.round());
    assert_eq!(one("red square", drawn, curve, as_drawn).accuracy, 1.0);
    assert_eq!(one("red square", LATE, curve, as_drawn).accuracy, 0.5);
}
