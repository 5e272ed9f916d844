use super::super::measures::{alike_action, iou, same_action};
use super::super::{RowScore, answer, score};
use super::*;

fn scored(row: &Value, output: &str) -> RowScore {
    let row = read(row);
    score::score(&row, &answer::parse(&row, output, None).unwrap())
}

#[test]
fn iou_is_of_areas() {
    assert_eq!(iou([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]), 1.0 / 7.0);
    assert_eq!(iou([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]), 1.0);
    assert_eq!(iou([0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 2.0, 2.0]), 1.0 / 16.0);
    // Neighbours, and both axes apart: no product of two negative sides.
    assert_eq!(iou([0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]), 0.0);
    assert_eq!(iou([0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 6.0, 6.0]), 0.0);
    assert_eq!(iou([0.0, 0.0, 1e200, 1e200], [0.0, 0.0, 1e200, 1e200]), 0.0, "its area is infinite");
}

#[test]
fn a_box_is_compared_with_the_best_true_one() {
    let best = |output: &str| scored(&person(), output).roles[0].1.iou_best;
    assert_eq!(best("Person bbox: [60.5, 20, 160.5, 220]"), Some(1.0));
    assert_eq!(best("Person bbox: [10, 20, 60, 220]"), Some(0.5));
    assert_eq!(best("Person bbox: [1, 1, -1, -1]"), Some(0.0));
    assert_eq!(best(""), Some(0.0));
    assert_eq!(scored(&person(), "").roles[0].1.iou_nearest, None);
    let unknown = changed(person(), &[("/answer/person_bbox", json!([[1, 1, 1, 1]]))]);
    let score = scored(&unknown, "Person bbox: [10, 20, 60, 220]; Time: 3");
    assert_eq!((score.roles[0].1.iou_best, score.time_in_window, score.joint), (None, Some(true), None));
}

#[test]
fn know_and_show_is_all_of_it() {
    let joint = |output: &str| {
        let score = scored(&person(), output);
        assert_eq!(
            (score.dt_ok, score.abs_dt, score.action_strict, score.action_lenient),
            (None, None, None, None)
        );
        (score.time_in_window, score.joint)
    };
    let half = "Person bbox: [10, 20, 60, 220]";
    assert_eq!(joint(&format!("{half}\nTime: 2.5")), (Some(true), Some(true)));
    assert_eq!(joint(&format!("{half}\nTime: 9")), (Some(true), Some(true)));
    assert_eq!(joint(&format!("{half}\nTime: 9.01")), (Some(false), Some(false)));
    assert_eq!(joint(half), (Some(false), Some(false)));
    assert_eq!(joint("Person bbox: [10, 20, 59, 220]\nTime: 4"), (Some(true), Some(false)));
    let score = scored(&object(), "Object bbox: [5, 5, 45, 65]\nTime: 4");
    assert_eq!((score.roles[0].1.iou_best, score.time_in_window, score.joint), (Some(1.0), None, None));
    // One role of two is not enough, and any window will do.
    let one = "Person bbox: [100, 50, 180, 250]\nTime: 0";
    assert_eq!(scored(&person_object(), one).joint, Some(false));
    assert_eq!(
        scored(&person_object(), &format!("{one}\nObject bbox: [200, 40, 260, 130]")).joint,
        Some(true)
    );
    for (time, inside) in [("2", true), ("3.5", false), ("7.5", false), ("11", true)] {
        assert_eq!(scored(&hands(), &format!("Time: {time}")).time_in_window, Some(inside));
    }
}

#[test]
fn the_nearest_box_is_that_of_the_answers_time() {
    let nearest = |hand: &str, time: &str| {
        let output = format!("Left hand bbox: [{hand}]\nRight hand bbox: [{hand}]\nTime: {time}");
        let [brush, left, right] = scored(&hands(), &output).roles.try_into().unwrap();
        assert_eq!(brush.1.iou_nearest, None, "no frame for each box");
        (left.1.iou_nearest, right.1.iou_nearest)
    };
    // Boxes at 1 s and 11 s, the one at 2 s being none; and at 1 s, 2 s and 11 s.
    assert_eq!(nearest("0, 0, 100, 100", "2"), (Some(1.0), Some(0.0)));
    assert_eq!(nearest("200, 0, 300, 100", "2"), (Some(0.0), Some(0.0)));
    assert_eq!(nearest("200, 0, 300, 100", "7"), (Some(1.0), Some(0.0)));
    // Equally near: the earlier in the list.
    assert_eq!(nearest("0, 0, 100, 100", "6").0, Some(1.0));
    assert_eq!(nearest("500, 0, 600, 100", "1.5").1, Some(1.0));
    assert_eq!(nearest("700, 0, 800, 100", "99").1, Some(1.0));
    // What was not read is wrong.
    assert_eq!(nearest("0, 0, 100, 100", "N/A"), (Some(0.0), Some(0.0)));
    assert_eq!(nearest("9, 9, 0, 0", "1"), (Some(0.0), Some(0.0)));
    let empty = [("/bboxes/left_hand", json!([])), ("/frame_numbers", json!([]))];
    assert_eq!(scored(&changed(hands(), &empty), "Time: 1").roles[1].1.iou_nearest, None);
}

#[test]
fn an_action_and_its_start() {
    let of = |output: &str| {
        let s = scored(&temporal(), output);
        assert_eq!(s.time_in_window, None);
        (s.action_strict, s.action_lenient, s.dt_ok, s.joint)
    };
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(of("Action: folding a SHIRT!\nTime: 12"), (yes, yes, yes, yes));
    assert_eq!(of("Action: Folding the shirt\nTime: 10.0"), (no, yes, yes, no));
    assert_eq!(of("Action: Folding a shirt\nTime: 12.01"), (yes, yes, no, no));
    assert_eq!(of("Action: Folding a shirt"), (yes, yes, no, no));
    assert_eq!(of("Time: 11"), (no, no, yes, no));
    assert_eq!(of(""), (no, no, no, no));
    assert_eq!(scored(&temporal(), "Time: 9.5").abs_dt, Some(1.5));
    assert_eq!(scored(&temporal(), "").abs_dt, None);
    let tenths = changed(temporal(), &[("/answer/time", json!("0.1s"))]);
    assert_eq!(scored(&tenths, "Time: 1.1").dt_ok, yes, "1.1 − 0.1 is more than 1 in binary");
    let nameless = scored(&changed(temporal(), &[("/answer/action", Value::Null)]), "Action: x\nTime: 11");
    assert_eq!((nameless.action_strict, nameless.action_lenient), (None, None));
    assert_eq!((nameless.dt_ok, nameless.joint), (yes, None));
    let timeless =
        scored(&changed(temporal(), &[("/answer/time", json!("x"))]), "Action: Folding a shirt\nTime: 1");
    assert_eq!((timeless.action_strict, timeless.dt_ok, timeless.joint), (yes, None, None));
}

#[test]
fn actions_are_compared_by_their_words() {
    assert!(same_action("Opening a  closet/cabinet.", "opening a closet cabinet"));
    assert!(!same_action("Opening the closet", "opening a closet"));
    assert!(!same_action("closet", "closets"));
    assert!(same_action("Köpfe", "k  pfe"), "what is no a-z separates");
    for (a, b, alike) in [
        ("opening the closet", "Opening a closet", true),
        // Six shared of eight: exactly 0.75.
        ("opening closet cabinet", "opening closet cabinet quickly now", true),
        ("opening closet", "opening closet quickly now", false),
        ("one two three", "one two four", false),
        // A repetition counts as often as it is there.
        ("run run run", "run", false),
        ("run run run", "run run run", true),
        ("the", "a", false),
        ("", "", false),
    ] {
        assert_eq!((alike_action(a, b), alike_action(b, a)), (alike, alike), "{a:?} {b:?}");
    }
}
