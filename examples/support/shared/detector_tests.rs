//! Real clips pass, cheats do not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;

fn detector() -> Detector {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-wan");
    Detector::open(&folder).unwrap().unwrap()
}

/// A black clip of eight frames with each object drawn in its place where its curve is on.
fn clip(d: &Detector, objects: &[(&str, (usize, usize), [u8; 8])]) -> Vec<Vec<u8>> {
    let mut frames = vec![vec![0u8; d.height * d.width * 3]; 8];
    for (phrase, (top, left), on) in objects {
        let object = d.objects(phrase)[0];
        let rgb = d.colours[object.colour].1.map(|v| (v * 255.0).round() as u8);
        for (frame, _) in frames.iter_mut().zip(on).filter(|(_, on)| **on == 1) {
            for (y, x) in &d.shapes[object.shape].pixels {
                let at = ((top + y) * d.width + left + x) * 3;
                frame[at..at + 3].copy_from_slice(&rgb);
            }
        }
    }
    frames
}

fn full(d: &Detector, colour: &str) -> Vec<u8> {
    let (_, rgb) = d.colours.iter().find(|(name, _)| name == colour).unwrap();
    rgb.map(|v| (v * 255.0).round() as u8).repeat(d.height * d.width)
}

/// Share of frames that are clean and show the first object exactly where it is wanted.
fn accuracy(reports: &[FrameReport], wanted: [u8; 8]) -> f64 {
    let right =
        reports.iter().zip(wanted).filter(|(r, w)| r.clean && r.objects[0].present == (*w == 1)).count();
    right as f64 / 8.0
}

const ALL: [u8; 8] = [1; 8];
const LATE: [u8; 8] = [0, 0, 0, 0, 1, 1, 1, 1];

#[test]
fn finds_the_objects_of_a_prompt() {
    let d = detector();
    let found = d.objects("A Red square, and a blue cross with a red square");
    let names = |o: &Object| (d.colours[o.colour].0.as_str(), d.shapes[o.shape].name.as_str());
    assert_eq!(found.iter().map(names).collect::<Vec<_>>(), [("red", "square"), ("blue", "cross")]);
    assert!(d.objects("red and square").is_empty());
}

#[test]
fn real_clips_are_read_as_they_were_drawn() {
    let d = detector();
    for colour in ["red", "green", "blue", "yellow"] {
        for shape in ["square", "ring", "cross"] {
            let phrase = format!("{colour} {shape}");
            let other = if colour == "red" { "green cross" } else { "red ring" };
            let frames = clip(&d, &[(&phrase, (2, 2), LATE), (other, (9, 9), ALL)]);
            let reports = d.read(&frames, &d.objects(&format!("a {phrase} and a {other}")));
            assert_eq!(accuracy(&reports, LATE), 1.0, "{phrase}");
            for report in &reports {
                assert!(report.objects.iter().all(|o| o.shape_right != Some(false)), "{phrase}: {report:?}");
                assert!(report.objects[1].present);
            }
            assert_eq!(reports[0].objects[0], Sighting { pixels: 0, present: false, shape_right: None });
        }
    }
}

#[test]
fn noise_of_the_size_that_a_model_leaves_changes_nothing() {
    let d = detector();
    let mut frames = clip(&d, &[("blue square", (4, 6), LATE)]);
    for (i, value) in frames.iter_mut().flatten().enumerate() {
        // A fixed pattern of up to ±28 of 255.
        let wobble = (i * 37 % 57) as i16 - 28;
        *value = (i16::from(*value) + wobble).clamp(0, 255) as u8;
    }
    let reports = d.read(&frames, &d.objects("blue square"));
    assert_eq!(accuracy(&reports, LATE), 1.0);
    assert!(reports[5].objects[0].shape_right.unwrap());
}

#[test]
fn a_full_frame_of_the_colour_is_wrong() {
    let d = detector();
    let asked = d.objects("a red square");
    // Everywhere, and only where the object is wanted: the loose rule gives the second one full marks.
    let always = vec![full(&d, "red"); 8];
    assert_eq!(accuracy(&d.read(&always, &asked), LATE), 0.0);
    assert_eq!(accuracy(&d.read(&always, &asked), ALL), 0.0);
    let black = vec![0; d.height * d.width * 3];
    let timed: Vec<Vec<u8>> =
        LATE.iter().map(|on| if *on == 1 { full(&d, "red") } else { black.clone() }).collect();
    let reports = d.read(&timed, &asked);
    assert_eq!(accuracy(&reports, LATE), 0.5);
    assert!(reports.iter().all(|r| !r.objects[0].present));
}

#[test]
fn half_a_frame_of_the_colour_is_wrong() {
    let d = detector();
    let mut frame = full(&d, "red");
    let half = frame.len() / 2;
    frame[..half].fill(0);
    let reports = d.read(&vec![frame; 8], &d.objects("a red square"));
    assert_eq!(accuracy(&reports, LATE), 0.0);
}

#[test]
fn noise_and_greys_are_wrong() {
    let d = detector();
    let asked = d.objects("a red square");
    let noise: Vec<u8> = (0..d.height * d.width * 3).map(|i| (i * 7919 % 251) as u8).collect();
    assert_eq!(accuracy(&d.read(&vec![noise; 8], &asked), LATE), 0.0);
    let grey = vec![128; d.height * d.width * 3];
    assert_eq!(accuracy(&d.read(&vec![grey; 8], &asked), [0; 8]), 0.0);
}

#[test]
fn an_object_that_was_not_asked_for_is_dirt() {
    let d = detector();
    let frames = clip(&d, &[("red square", (1, 1), LATE), ("green square", (9, 9), ALL)]);
    assert_eq!(accuracy(&d.read(&frames, &d.objects("a red square")), LATE), 0.0);
}

#[test]
fn the_colour_alone_does_not_make_the_shape() {
    let d = detector();
    let frames = clip(&d, &[("red ring", (4, 4), ALL)]);
    let reports = d.read(&frames, &d.objects("a red square"));
    assert_eq!(accuracy(&reports, ALL), 1.0);
    assert!(reports.iter().all(|r| r.objects[0].shape_right == Some(false)));
}

#[test]
fn an_empty_clip_is_right_only_where_nothing_is_wanted() {
    let d = detector();
    let frames = clip(&d, &[]);
    assert_eq!(accuracy(&d.read(&frames, &d.objects("a red square")), LATE), 0.5);
    let few = vec![vec![]; 8];
    assert_eq!(accuracy(&d.read(&few, &d.objects("a red square")), LATE), 0.0);
}
