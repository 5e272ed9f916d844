//! Real clips pass, cheats do not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;

fn detector() -> Detector {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-wan");
    Detector::open(&folder).unwrap().unwrap()
}

/// A black clip of eight frames with each object drawn in its place where its curve is on.
fn clip(d: &Detector, objects: &[(&str, (usize, usize), [u8; 8])]) -> Vec<Vec<u8>> {
    let mut frames = vec![vec![0u8; d.size[0] * d.size[1] * 3]; 8];
    for (phrase, (top, left), on) in objects {
        let object = d.objects(phrase)[0];
        let rgb = d.colours[object.colour].1.map(|v| (v * 255.0).round() as u8);
        for (frame, _) in frames.iter_mut().zip(on).filter(|(_, on)| **on == 1) {
            for (y, x) in &d.shapes[object.shape].pixels {
                let at = ((top + y) * d.size[1] + left + x) * 3;
                frame[at..at + 3].copy_from_slice(&rgb);
            }
        }
    }
    frames
}

fn full(d: &Detector, colour: &str) -> Vec<u8> {
    let (_, rgb) = d.colours.iter().find(|(name, _)| name == colour).unwrap();
    rgb.map(|v| (v * 255.0).round() as u8).repeat(d.size[0] * d.size[1])
}

/// Share of frames that are clean and show the first object exactly where it is wanted.
fn accuracy(reports: &[FrameReport], wanted: [u8; 8]) -> f64 {
    let right = reports.iter().zip(wanted).filter(|(r, w)| r.right(0, f32::from(*w))).count();
    right as f64 / 8.0
}

/// A frame as it is drawn on a map of letters: `r`ed, `g`reen, `b`lue, `y`ellow and background; below the last row black.
fn drawn(d: &Detector, rows: &[&str]) -> Vec<u8> {
    let mut frame = vec![0u8; d.size[0] * d.size[1] * 3];
    let cells =
        rows.iter().enumerate().flat_map(|(y, row)| row.chars().enumerate().map(move |(x, c)| (y, x, c)));
    for (y, x, c) in cells {
        if let Some((_, rgb)) = d.colours.iter().find(|(name, _)| name.starts_with(c)) {
            let at = (y * d.size[1] + x) * 3;
            frame[at..at + 3].copy_from_slice(&rgb.map(|v| (v * 255.0).round() as u8));
        }
    }
    frame
}

/// What the detector says of a drawn frame.
fn judged(rows: &[&str], prompt: &str) -> FrameReport {
    let d = detector();
    d.read(&[drawn(&d, rows)], &d.objects(prompt)).remove(0)
}

/// What it says of the first object: sizes of the pieces, the flaw, and whether the frame is right where the object is
/// wanted and where it is not.
fn verdict(rows: &[&str], prompt: &str) -> (Vec<usize>, Option<Flaw>, bool, bool) {
    let report = judged(rows, prompt);
    let object = &report.objects[0];
    assert!(report.clean && object.present == (object.seen() && object.flaw.is_none()));
    (object.pieces.clone(), object.flaw, report.right(0, 1.0), report.right(0, 0.0))
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
            let none = Sighting { pixels: 0, pieces: vec![], flaw: None, present: false, shape_right: None };
            assert_eq!(reports[0].objects[0], none);
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
    let black = vec![0; d.size[0] * d.size[1] * 3];
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
    let noise: Vec<u8> = (0..d.size[0] * d.size[1] * 3).map(|i| (i * 7919 % 251) as u8).collect();
    assert_eq!(accuracy(&d.read(&vec![noise; 8], &asked), LATE), 0.0);
    let grey = vec![128; d.size[0] * d.size[1] * 3];
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

#[test]
fn one_object_is_right() {
    let square = ["", "", "...rrrrrr"].iter().chain(&["...rrrrrr"; 5]).copied().collect::<Vec<_>>();
    assert_eq!(verdict(&square, "red square"), (vec![36], None, true, false));
    let ring = ["", "..gggg", ".gg..gg", ".g....g", ".g....g", ".gg..gg", "..gggg"];
    assert_eq!(verdict(&ring, "green ring"), (vec![20], None, true, false));
    assert_eq!(verdict(&[], "green ring"), (vec![], None, false, true));
    // Stretched by a step of the grid, as a model draws what is between two places.
    assert_eq!(verdict(&["...rrrrrrrr"; 6], "red square"), (vec![48], None, true, false));
    // Half of a shape, as an object that is about to come.
    assert_eq!(
        verdict(&["", "....bb", "....bb", "....bb", "....bb", "....bb", "....bb"], "blue cross").2,
        true
    );
}

#[test]
fn two_objects_are_not_right_wanted_or_not() {
    let doubled = Some(Flaw::Doubled);
    // The second one is cut by the edge: 48 pixels together, as many as one that is stretched.
    assert_eq!(verdict(&["..rrrrrr......rr"; 6], "red square"), (vec![36, 12], doubled, false, false));
    assert_eq!(verdict(&["..rrrrrr..rrrrrr"; 6], "red square"), (vec![36, 36], doubled, false, false));
    let rings = [
        "",
        "..gggg...gggg",
        ".gg..gg.gg..gg",
        ".g....g.g....g",
        ".g....g.g....g",
        ".gg..gg.gg..gg",
        "..gggg...gggg",
    ];
    assert_eq!(verdict(&rings, "green ring"), (vec![20, 20], doubled, false, false));
    // A ring of which the ends are missing is torn.
    let torn = ["", "", "..g....g", "..g....g", "..g....g", "..g....g", ".gg....gg"];
    assert_eq!(verdict(&torn, "green ring"), (vec![6, 6], doubled, false, false));
}

#[test]
fn two_that_touch_or_lie_over_each_other_are_too_large_for_one() {
    let too_large = Some(Flaw::TooLarge);
    let corners = ["rrrrrr"; 6].into_iter().chain(["......rrrrrr"; 6]).collect::<Vec<_>>();
    assert_eq!(verdict(&corners, "red square"), (vec![72], too_large, false, false));
    assert_eq!(verdict(&["..rrrrrrrrrr"; 6], "red square"), (vec![60], too_large, false, false));
    // A ring two pixels above another: an eight, no longer than a square that is stretched.
    let eight = ["..gggg", ".gg..gg", ".gggggg", ".gg..gg", ".gg..gg", ".gggggg", ".gg..gg", "..gggg"];
    assert_eq!(verdict(&eight, "green ring"), (vec![36], too_large, false, false));
    // As many pixels as a ring, but in a line.
    assert_eq!(
        verdict(&["", "..gggggggggg", "..gggggggggg"], "green ring"),
        (vec![20], too_large, false, false)
    );
}

#[test]
fn specks_do_not_make_it_two_and_a_piece_does() {
    let with = |speck: &[&str]| {
        let rows = (0..12).map(|y| {
            let object = if y < 6 { "rrrrrr" } else { "......" };
            format!("{object}....{}", speck.get(y).copied().unwrap_or_default())
        });
        let rows: Vec<String> = rows.collect();
        verdict(&rows.iter().map(String::as_str).collect::<Vec<_>>(), "red square")
    };
    for specks in [&["r"][..], &["rr"], &["r", "r"], &["r.r", "...", "r.r"], &["rr", "r"]] {
        assert_eq!(with(specks), (vec![36], None, true, false), "{specks:?}");
    }
    assert_eq!(with(&["rr", "rr"]), (vec![36, 4], Some(Flaw::Doubled), false, false));
    // Specks alone: something is there, and it is no object.
    let alone = ["rr..r", "", "...r"];
    assert_eq!(verdict(&alone, "red square"), (vec![], Some(Flaw::Fragment), false, false));
    assert_eq!(verdict(&["rr..r"], "red square"), (vec![], None, false, true));
}

#[test]
fn an_object_may_be_cut_by_the_edge_and_no_part_stands_in_the_middle() {
    assert_eq!(verdict(&["..............rr"; 6], "red square"), (vec![12], None, true, false));
    assert_eq!(
        verdict(&["bb", "bb", "bbbb", "bbbb", "bb", "bb"], "blue cross"),
        (vec![16], None, true, false)
    );
    assert_eq!(verdict(&["..............rr"; 2], "red square"), (vec![4], None, true, false));
    let fragment = Some(Flaw::Fragment);
    assert_eq!(verdict(&["", "....rr", "....rr"], "red square"), (vec![4], fragment, false, false));
    assert_eq!(
        verdict(&["", "....bb", "....bb", "....bb", "....bb"], "blue cross"),
        (vec![8], fragment, false, false)
    );
}

#[test]
fn neighbours_of_other_colours_are_objects_of_their_own() {
    let rows = ["..rrrrrrgggggg"; 6];
    let report = judged(&rows, "a red square and a green square");
    assert!(report.clean && report.objects.iter().all(|o| o.present && o.pieces == [36]), "{report:?}");
    assert!(report.right(0, 1.0) && report.right(1, 1.0));
    // One of them twice.
    let report = judged(&["rrrrrrggggggrrrr"; 6], "a red square and a green square");
    assert_eq!((report.objects[0].flaw, report.objects[1].flaw), (Some(Flaw::Doubled), None));
}

#[test]
fn two_shapes_of_one_colour_are_told_apart() {
    let square_and_ring = [
        "rrrrrr...rrrr",
        "rrrrrr..rr..rr",
        "rrrrrr..r....r",
        "rrrrrr..r....r",
        "rrrrrr..rr..rr",
        "rrrrrr...rrrr",
    ];
    let both = judged(&square_and_ring, "a red square and a red ring");
    assert!(both.objects.iter().all(|o| o.present && o.shape_right == Some(true)), "{both:?}");
    assert_eq!(both.objects.iter().map(|o| o.pixels).collect::<Vec<_>>(), [36, 20]);
    // One alone leaves the other away, and one twice is that one's fault.
    let alone = judged(&["rrrrrr"; 6], "a red square and a red ring");
    assert!(alone.right(0, 1.0) && alone.right(1, 0.0) && !alone.right(1, 1.0));
    let twice = judged(&["rrrrrr..rrrrrr"; 6], "a red square and a red ring");
    assert_eq!((twice.objects[0].flaw, twice.objects[1].seen()), (Some(Flaw::Doubled), false));
    // Where only the square is asked for, the ring is one object too many.
    assert_eq!(judged(&square_and_ring, "a red square").objects[0].flaw, Some(Flaw::Doubled));
}
