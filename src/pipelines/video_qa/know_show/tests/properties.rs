use super::super::rows::parse;
use super::super::{Predictions, Report, answer, judge, prompt as asking, score};
use super::*;
use proptest::prelude::*;

/// Texts made of what answers are made of.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("Person bbox: [".to_owned()),
        Just("\nObject box=(".into()),
        Just("; left hand bounding box: [".into()),
        Just("Time: ".into()),
        Just("\nAction: ".into()),
        Just("]".into()),
        Just(")".into()),
        Just(", ".into()),
        Just("\n".into()),
        Just("-".into()),
        Just(":".into()),
        Just("NaN".into()),
        Just("1e400".into()),
        any::<f64>().prop_map(|x| x.to_string()),
        any::<i32>().prop_map(|x| x.to_string()),
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A value of any shape.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!("12.0s")),
        Just(json!([1, 2, 3, 4])),
        Just(json!([1, 2])),
        Just(json!("left_hand")),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{0,8}", inner, 0..5).prop_map(|m| json!(m)),
        ]
    })
}

const FIELDS: [&str; 20] = [
    "/question_id",
    "/video_id",
    "/question",
    "/question_category",
    "/answer",
    "/choices",
    "/objects",
    "/bboxes",
    "/durations",
    "/frame_numbers",
    "/clip_uids",
    "/answer/start_time",
    "/answer/end_time",
    "/answer/person_bbox",
    "/answer/object_bbox",
    "/answer/agent_bbox",
    "/answer/person",
    "/answer/action",
    "/answer/time",
    "/bboxes/left_hand",
];

proptest! {
    #[test]
    fn an_answer_in_the_format_is_read_as_it_was_written(
        numbers in prop::array::uniform3(prop::array::uniform4(-1e6f64..1e6)),
        time in -1e5f64..1e5,
        words in "[A-Za-z0-9/' ]{0,30}[a-z]",
    ) {
        for (_, value) in all() {
            let row = read(&value);
            let boxes = numbers.map(|[a, b, c, d]| [a.min(c), b.min(d), a.max(c) + 1.0, b.max(d) + 1.0]);
            let output = asking::answer(&row, &boxes, time, &words);
            let parsed = answer::parse(&row, &output, None).unwrap();
            prop_assert_eq!(parsed.time, Some(time), "{}", &output);
            prop_assert_eq!(parsed.boxes.len(), row.roles.len());
            for ((_, found), truth) in parsed.boxes.iter().zip(boxes) {
                prop_assert_eq!(found.corners, Some(truth), "{}", &output);
            }
            if row.roles.is_empty() {
                prop_assert_eq!(parsed.action.as_deref(), Some(words.trim()), "{}", &output);
            }
        }
    }

    #[test]
    fn whatever_is_answered_has_scores_in_range(output in fragments()) {
        for (_, value) in all() {
            let row = read(&value);
            let parsed = answer::parse(&row, &output, None).unwrap();
            prop_assert!(parsed.time.is_none_or(f64::is_finite));
            for (_, role) in score::score(&row, &parsed).roles {
                for iou in [role.iou_best, role.iou_nearest].into_iter().flatten() {
                    prop_assert!((0.0..=1.0).contains(&iou), "{} for {:?}", iou, &output);
                }
            }
        }
    }

    #[test]
    fn a_field_of_any_value_is_read_or_named(which in 0..5_usize, field in 0..20_usize, value in anything()) {
        let mut row = all()[which].1.clone();
        let pointer = FIELDS[field];
        let Some((parent, key)) = pointer.rsplit_once('/') else { return Ok(()) };
        let Some(Value::Object(object)) = row.pointer_mut(parent) else { return Ok(()) };
        object.insert(key.to_owned(), value);
        match parse(Path::new("rows.jsonl"), row.to_string().as_bytes()) {
            Err(error) => prop_assert!(error.to_string().starts_with("rows.jsonl: line 1: `"), "{}", error),
            Ok(rows) => {
                let judged = judge(&rows, &Predictions::default()).unwrap();
                prop_assert!(!judged[0].has_prediction);
                prop_assert!(!Report::of(&judged).to_markdown().contains("NaN"));
            }
        }
    }

    #[test]
    fn bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Path::new("5_temporal_grounded_reasoning.jsonl"), &bytes);
        let read = Predictions::parse(Path::new("p"), &bytes, &[]);
        if let Ok(read) = read {
            prop_assert!(read.whole <= bytes.len() as u64);
        }
    }
}

#[test]
fn hostile_files_are_refused_by_line() {
    let path = Path::new("rows.jsonl");
    let good = person().to_string();
    let deep = format!("{{\"question_id\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"question_id\":\"{}\"}}", "x".repeat(5_000_000));
    for bad in [
        good.replace("2.5", "NaN").into_bytes(),
        good.replace("2.5", "1e400").into_bytes(),
        good.replace("2.5", "-Infinity").into_bytes(),
        good.replace("waters", "\u{0}").replace("\\u0000", "\u{0}").into_bytes(),
        deep.into_bytes(),
        long.into_bytes(),
        good.as_bytes()[..good.len() - 3].to_vec(),
        [good.as_bytes(), b"}"].concat(),
        [&good.as_bytes()[..20], b"\xff\xfe", &good.as_bytes()[20..]].concat(),
        b"\xff\xfe{\x00}\x00".to_vec(),
        vec![0; 64],
    ] {
        let bytes = [b"\n".as_slice(), &bad, b"\n"].concat();
        let error = parse(path, &bytes).unwrap_err().to_string();
        assert!(error.starts_with("rows.jsonl: line 2: ") && error.len() < 2500, "{error}");
        let error = Predictions::parse(path, &bytes, &[]).unwrap_err().to_string();
        assert!(error.starts_with("rows.jsonl: line 2: ") && error.len() < 2500, "{error}");
    }
}

#[test]
fn a_long_answer_is_read_in_time() {
    let row = read(&hands());
    let text = "; object ".repeat(200_000) + &"-* \t".repeat(200_000) + &"Time: ".repeat(100_000);
    let parsed = answer::parse(&row, &text, None).unwrap();
    assert!(parsed.time.is_none() && parsed.boxes.iter().all(|(_, b)| b.corners.is_none()));
}
