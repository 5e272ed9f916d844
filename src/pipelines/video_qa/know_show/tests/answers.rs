use super::super::BoxStatus::{self, Degenerate, Missing, XywhRecovered, Xyxy};
use super::super::{FrameSizes, Parsed, answer};
use super::*;

fn parsed(row: &Value, output: &str) -> Parsed {
    answer::parse(&read(row), output, None).unwrap()
}

/// The first role's box.
fn first(row: &Value, output: &str) -> (BoxStatus, Option<[f64; 4]>) {
    let found = parsed(row, output).boxes[0].1;
    (found.status, found.corners)
}

const BOX: (BoxStatus, Option<[f64; 4]>) = (Xyxy, Some([1.0, 2.0, 3.5, 4.0]));

#[test]
fn a_box_may_be_written_in_many_ways() {
    for text in [
        "Person bbox: [1, 2, 3.5, 4]",
        "person_bbox=[1,2,3.5,4]",
        "PERSON Bounding Box : (1 2 3.5 4)",
        "personbox:[1 ,2\t3.5\n4. ]",
        " \t*- *Person _ box\t= ( +1, 2.0, 3.50 , 04 )",
        "Here it is;Person bbox: [1, 2, 3.5, 4]; Time: 3",
        "Sure!\r\n- Person bbox: [1, 2, 3.5, 4)\r\n",
        "Person bbox: [1, 2, 3]\nPerson bbox: [1, 2, 3.5, 4]\nPerson bbox: [9, 9, 10, 10]",
    ] {
        assert_eq!(first(&person(), text), BOX, "{text:?}");
    }
    assert_eq!(first(&person(), "person bbox: [-.5, -2, .5, 4]"), (Xyxy, Some([-0.5, -2.0, 0.5, 4.0])));
}

#[test]
fn other_ways_are_none() {
    for text in [
        "",
        "The person bbox: [1, 2, 3.5, 4]",
        "**Person** bbox: [1, 2, 3.5, 4]",
        "Person: [1, 2, 3.5, 4]",
        "Person bbox [1, 2, 3.5, 4]",
        "Person bbox: 1, 2, 3.5, 4",
        "Person bbox: [1, 2, 3.5]",
        "Person bbox: [1, 2, 3.5, 4, 5]",
        "Person bbox: [1,, 2, 3.5, 4]",
        "Person bbox: [1e0, 2, 3.5, 4]",
        "Person bbox: [NaN, 2, 3.5, 4]",
        "Person bbox: [x1, y1, x2, y2]",
        "Person bbox:\n[1, 2, 3.5, 4]",
        "Object bbox: [1, 2, 3.5, 4]",
        "{\"person_bbox\": [1, 2, 3.5, 4]}",
        "Person bbox: [١, ٢, ٣, ٤]",
    ] {
        assert_eq!(first(&person(), text), (Missing, None), "{text:?}");
    }
}

#[test]
fn four_numbers_are_two_corners_or_a_corner_and_a_size() {
    for (numbers, expected) in [
        ("10, 20, 110, 220", (Xyxy, Some([10.0, 20.0, 110.0, 220.0]))),
        // It could be a corner and a size as well, and is taken for corners.
        ("10, 20, 30, 40", (Xyxy, Some([10.0, 20.0, 30.0, 40.0]))),
        ("100, 20, 30, 40", (XywhRecovered, Some([100.0, 20.0, 130.0, 60.0]))),
        ("10, 200, 30, 40", (XywhRecovered, Some([10.0, 200.0, 40.0, 240.0]))),
        ("10, 20, 10, 20", (XywhRecovered, Some([10.0, 20.0, 20.0, 40.0]))),
        ("10, 20, 0, 40", (Degenerate, None)),
        ("100, 20, -30, 400", (Degenerate, None)),
        ("-10, 20, -20, 40", (Degenerate, None)),
        ("10, 20, 30, 0", (Degenerate, None)),
    ] {
        assert_eq!(first(&person(), &format!("Person bbox: [{numbers}]")), expected, "{numbers}");
    }
    let endless = "9".repeat(400);
    assert_eq!(first(&person(), &format!("Person bbox: [0, 0, {endless}, 1]")), (Degenerate, None));
    // The first in the text counts, though a better one follows.
    let twice = "Person bbox: [1, 1, -1, 0]\nPerson bbox: [1, 2, 3, 4]";
    assert_eq!(first(&person(), twice), (Degenerate, None));
}

#[test]
fn each_role_has_its_names() {
    let boxes = |row: &Value, output: &str| {
        let parsed = parsed(row, output);
        parsed.boxes.into_iter().map(|(name, b)| (name, b.corners.map(|c| c[0]))).collect::<Vec<_>>()
    };
    let both = [("person".to_owned(), Some(1.0)), ("object".to_owned(), Some(2.0))];
    for object in ["Object", "shelf/cupboard", "SHELF/CUPBOARD"] {
        let text = format!("Person bbox: [1, 0, 9, 9]\n{object} bbox: [2, 0, 9, 9]");
        assert_eq!(boxes(&person_object(), &text), both);
    }
    assert_eq!(boxes(&person_object(), "shelf bbox: [2, 0, 9, 9]")[1].1, None);
    // The slash, the dot and the bracket are no pattern.
    let odd = changed(
        person_object(),
        &[("/answer/shelf~1cupboard", Value::Null), ("/answer/a.c (x|y)* [z", json!([[1, 1, 2, 2]]))],
    );
    assert_eq!(boxes(&odd, "a.c (x|y)* [z box: [2, 0, 9, 9]")[1].1, Some(2.0));
    assert_eq!(boxes(&odd, "abc x box: [2, 0, 9, 9]")[1].1, None);
    for brush in ["Paint brush", "paint_brush", "paint _\tbrush", "Object"] {
        let text =
            format!("Left hand bbox: [1, 0, 9, 9]; RIGHT__HAND_box: [2, 0, 9, 9]; {brush} box: [3, 0, 9, 9]");
        let found: Vec<_> = boxes(&hands(), &text).into_iter().map(|b| b.1).collect();
        assert_eq!(found, [Some(3.0), Some(1.0), Some(2.0)], "{text}");
    }
    // No hand is an object, and no part of a name is the name.
    let text = "Object bbox: [3, 0, 9, 9]\nHand bbox: [1, 0, 9, 9]\nbrush bbox: [4, 0, 9, 9]";
    let found: Vec<_> = boxes(&hands(), text).into_iter().map(|b| b.1).collect();
    assert_eq!(found, [Some(3.0), None, None]);
}

#[test]
fn times_are_seconds_or_minutes_and_seconds() {
    let time = |text: &str| parsed(&person(), text).time;
    for (text, seconds) in [
        ("Time: 12.5s", 12.5),
        ("time=3", 3.0),
        ("TIME\t: \t.5 seconds", 0.5),
        ("Time: -1.5", -1.5),
        ("Time: 1:33.86", 93.86),
        ("Time: 0:09", 9.0),
        ("Time: 02:5", 125.0),
        ("Time: 12:", 12.0),
        // A third digit is no part of the seconds.
        ("Time: 1:234", 83.0),
        ("It is there; start time: 4. The time: 9", 4.0),
        ("Time: soon\nTime: 7", 7.0),
        ("Time: 1\nTime: 2", 1.0),
    ] {
        assert_eq!(time(text), Some(seconds), "{text:?}");
    }
    for text in [
        "",
        "Time: N/A",
        "Time 12",
        "Time:\n12",
        "start_time: 4",
        "{\"time\": 4}",
        "timed: 4",
        "At 5 seconds",
        "Time: Ns",
    ] {
        assert_eq!(time(text), None, "{text:?}");
    }
    assert_eq!(time(&format!("Time: {}", "9".repeat(400))), None);
    assert_eq!(time(&format!("Time: {}:10", "9".repeat(400))), None);
}

#[test]
fn actions_end_with_their_line() {
    let action = |text: &str| parsed(&temporal(), text).action;
    for text in [
        "Action: Folding a shirt",
        "- action =\tFolding a shirt . .. \r\nTime: 4s",
        "Time: 3s; ** ACTION: Folding a shirt...; Time: 4",
        "Action: Folding a shirt\nAction: Opening a window",
    ] {
        let found = action(text).unwrap();
        assert!(found.starts_with("Folding a shirt"), "{text:?}: {found:?}");
    }
    assert_eq!(action("Action: Folding a shirt. "), Some("Folding a shirt".into()));
    // Dots go once, and then blanks.
    assert_eq!(action("Action: Folding. . ."), Some("Folding. .".into()));
    assert_eq!(action("Action: A: b = c"), Some("A: b = c".into()));
    for text in
        ["", "Action:", "Action: \n", "Action: ...", "The action: folding", "Action folding", "Action\n: x"]
    {
        assert_eq!(action(text), None, "{text:?}");
    }
    assert_eq!(parsed(&person(), "Action: Folding a shirt").action, None, "none is asked for");
}

#[test]
fn boxes_are_scaled_after_they_are_understood() {
    let row = read(&person());
    let sizes = FrameSizes::new([240.0, 100.0], [480.0, 300.0]).unwrap();
    let of = |text: &str| {
        let found = answer::parse(&row, text, Some(&sizes)).unwrap().boxes[0].1;
        (found.status, found.corners)
    };
    assert_eq!(of("Person bbox: [10, 20, 30, 40]"), (Xyxy, Some([20.0, 60.0, 60.0, 120.0])));
    assert_eq!(of("Person bbox: [100, 50, 30, 40]"), (XywhRecovered, Some([200.0, 150.0, 260.0, 270.0])));
    for side in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(FrameSizes::new([side, 1.0], [1.0, 1.0]).unwrap_err().to_string().contains("resized"));
        assert!(FrameSizes::new([1.0, 1.0], [1.0, side]).unwrap_err().to_string().contains("orig"));
    }
}

#[test]
fn a_name_without_end_is_refused_and_many_names_are_not_kept() {
    let mut row = read(&hands());
    row.roles[0].name = "x".repeat(300_000);
    let error = answer::parse(&row, "", None).unwrap_err().to_string();
    assert!(error.contains("too long") && error.len() < 200, "{error}");
    for i in 0..600 {
        row.roles[0].name = format!("o{i}");
        let text = format!("O{i} bbox: [1, 1, 2, 2]");
        assert_eq!(answer::parse(&row, &text, None).unwrap().boxes[0].1.status, Xyxy);
    }
}
