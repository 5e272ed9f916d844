use super::super::rows::{parse, read_folder};
use super::super::{Role, Scenario};
use super::*;

#[test]
fn each_file_gives_its_truth() {
    let rows: Vec<Row> = all().iter().map(|(_, row)| read(row)).collect();
    for (row, scenario) in rows.iter().zip(Scenario::ALL) {
        assert_eq!(row.scenario, scenario);
    }
    let [p, o, c, h, t] = rows.as_slice() else { panic!() };
    let role = |name: &str, class: Option<&str>, boxes: &[[f64; 4]], moments: Option<&[f64]>| Role {
        name: name.into(),
        class: class.map(str::to_owned),
        boxes: boxes.to_vec(),
        moments: moments.map(<[f64]>::to_vec),
    };
    assert_eq!((p.question_id.as_str(), p.video_id.as_str()), ("p1", "AAAAA.mp4"));
    assert_eq!(p.windows, [[2.5, 9.0]]);
    // A box without a width is dropped.
    let boxes = [[10.0, 20.0, 110.0, 220.0], [60.5, 20.0, 160.5, 220.0]];
    assert_eq!(p.roles, [role("person", None, &boxes, None)]);
    assert!(o.windows.is_empty(), "x is no time");
    assert_eq!(o.roles, [role("object", None, &[[5.0, 5.0, 45.0, 65.0]], None)]);
    let person = role("person", None, &[[100.0, 50.0, 180.0, 250.0]], None);
    let shelf = role("object", Some("shelf/cupboard"), &[[200.0, 40.0, 260.0, 130.0]], None);
    assert_eq!(c.roles, [person, shelf]);
    assert_eq!(h.clips, ["clip-7"]);
    assert_eq!(h.windows, [[1.0, 3.0], [10.0, 12.0]], "a reversed window is none");
    let brush = role("paint_brush", None, &[[300.0, 300.0, 400.0, 500.0]], None);
    let left = [[0.0, 0.0, 100.0, 100.0], [200.0, 0.0, 300.0, 100.0]];
    let right = [[500.0, 0.0, 600.0, 100.0], [510.0, 0.0, 610.0, 100.0], [700.0, 0.0, 800.0, 100.0]];
    let hands = [
        brush,
        role("left_hand", None, &left, Some(&[1.0, 11.0])),
        role("right_hand", None, &right, Some(&[1.0, 2.0, 11.0])),
    ];
    assert_eq!(h.roles, hands);
    assert_eq!((t.action.as_deref(), t.time), (Some("Folding a shirt"), Some(11.0)));
    assert!(t.roles.is_empty() && t.windows.is_empty() && t.choices.is_empty());
}

#[test]
fn the_scenario_is_told_by_category_or_by_the_files_name() {
    for ((name, row), scenario) in all().into_iter().zip(Scenario::ALL) {
        let bare = changed(row.clone(), &[("/question_category", Value::Null)]).to_string();
        let rows = parse(&Path::new("some/where").join(name), bare.as_bytes()).unwrap();
        assert_eq!(rows[0].scenario, scenario);
        let error = parse(Path::new("rows.jsonl"), bare.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("rows.jsonl: line 1: `question_category`"), "{error}");
        assert_eq!(Scenario::of_path(Path::new(scenario.file_stem())), Some(scenario));
        // The category is right where the name says something else.
        let rows = parse(Path::new("5_temporal_grounded_reasoning.jsonl"), row.to_string().as_bytes());
        assert_eq!(rows.unwrap()[0].scenario, scenario);
    }
    for wrong in
        ["person", "action_conditioned_person_grounded_reasoningx", "x_person_grounded_reasoning", ""]
    {
        let error = refused(&changed(person(), &[("/question_category", json!(wrong))]));
        assert!(error.contains("`question_category`"), "{error}");
        assert_eq!(Scenario::of_category(wrong), None);
    }
}

#[test]
fn times_are_numbers_or_texts_of_numbers() {
    let time = |value: Value| read(&changed(temporal(), &[("/answer/time", value)])).time;
    for (text, seconds) in [
        ("16.00s", 16.0),
        ("9.9s", 9.9),
        ("99.99", 99.99),
        (" 11.00s", 11.0),
        ("\t4.s \n", 4.0),
        (".5 sec", 0.5),
        ("-2secs", -2.0),
        ("+3 seconds ", 3.0),
    ] {
        assert_eq!(time(json!(text)), Some(seconds), "{text:?}");
    }
    for text in
        ["x", "", "  ", "s", "1 2", "1:30", "4 minutes", "5ss", "1e3", "0x10", "NaN", "inf", "--1", "٣"]
    {
        assert_eq!(time(json!(text)), None, "{text:?}");
    }
    assert_eq!(time(json!("9".repeat(400))), None, "an infinity is no time");
    assert_eq!((time(json!(7)), time(json!(7.25)), time(Value::Null)), (Some(7.0), Some(7.25), None));
    for wrong in [json!(true), json!([1]), json!({"s": 1})] {
        let error = refused(&changed(temporal(), &[("/answer/time", wrong)]));
        assert!(error.contains("line 1: `answer.time`: expected seconds, found"), "{error}");
    }
}

#[test]
fn windows_are_two_numbers_in_order() {
    let windows = |start: Value, end: Value| {
        read(&changed(person(), &[("/answer/start_time", start), ("/answer/end_time", end)])).windows
    };
    assert_eq!(windows(json!(5), json!(5)), [[5.0, 5.0]]);
    assert_eq!(windows(json!("5s"), json!(3007.0)), [[5.0, 3007.0]], "there is no longest window");
    assert!(windows(json!(5), json!(4.99)).is_empty());
    assert!(windows(json!(5), json!("x")).is_empty());
    assert!(windows(json!(5), Value::Null).is_empty());
    let spans = json!([[1, 2], [3], [4, 5, 6], "7", null, ["8s", "9 sec"], [2, "x"], [6, 5]]);
    assert_eq!(read(&changed(hands(), &[("/durations", spans)])).windows, [[1.0, 2.0], [8.0, 9.0]]);
}

#[test]
fn boxes_are_four_numbers_in_order() {
    let boxes = json!([
        null,
        7,
        "1,2,3,4",
        {},
        [],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 2, 3, "4"],
        [1, 2, 3, null],
        [1, 2, 1, 4],
        [1, 2, 3, 2],
        [5, 2, 3, 4],
        [-5, -2, 3, 4],
        [1, 2, 3, true]
    ]);
    assert_eq!(
        read(&changed(person(), &[("/answer/person_bbox", boxes)])).roles[0].boxes,
        [[-5.0, -2.0, 3.0, 4.0]]
    );
    let none = read(&changed(object(), &[("/answer/object_bbox", json!([]))]));
    assert!(none.roles[0].boxes.is_empty());
}

#[test]
fn the_object_beside_a_person_is_the_one_other_list() {
    let extra = changed(person_object(), &[("/answer/note", json!("seen")), ("/answer/count", json!(3))]);
    assert_eq!(read(&extra).roles[1].class.as_deref(), Some("shelf/cupboard"));
    let two = refused(&changed(person_object(), &[("/answer/bag", json!([]))]));
    assert!(two.contains("line 1: `answer.<object>`") && two.contains("`bag`, `shelf/cupboard`"), "{two}");
    let none = refused(&changed(person_object(), &[("/answer/shelf~1cupboard", Value::Null)]));
    assert!(none.contains("found none"), "{none}");
    // Neither of the two broken keys is read.
    let broken = [("/answer/person", Value::Null), ("/answer/object_bbox", json!("broken"))];
    assert_eq!(read(&changed(person_object(), &broken)), read(&person_object()));
}

#[test]
fn boxes_have_moments_where_there_is_a_frame_for_each() {
    let frames = |frames: Value| read(&changed(hands(), &[("/frame_numbers", frames)]));
    let one = frames(json!([90]));
    assert_eq!(one.roles[0].moments, Some(vec![3.0]));
    assert_eq!((&one.roles[1].moments, &one.roles[2].moments), (&None, &None));
    let error = refused(&changed(hands(), &[("/frame_numbers", json!([30, "x"]))]));
    assert!(error.contains("`frame_numbers`: expected numbers, found a text"), "{error}");
}

#[test]
fn a_row_of_another_shape_is_named_by_line_and_field() {
    for (row, change, field) in [
        (person(), ("/question_id", Value::Null), "question_id"),
        (person(), ("/question_id", json!(" ")), "question_id"),
        (person(), ("/question_id", json!(5)), "question_id"),
        (person(), ("/video_id", Value::Null), "video_id"),
        (person(), ("/question", json!([])), "question"),
        (person(), ("/question_category", json!(1)), "question_category"),
        (person(), ("/choices", json!([1])), "choices"),
        (person(), ("/answer", Value::Null), "answer"),
        (person(), ("/answer", json!("in the kitchen")), "answer"),
        (person(), ("/answer/person_bbox", Value::Null), "answer.person_bbox"),
        (person(), ("/answer/person_bbox", json!({})), "answer.person_bbox"),
        (person(), ("/answer/end_time", json!([])), "answer.end_time"),
        (object(), ("/answer/object_bbox", json!("x")), "answer.object_bbox"),
        (person_object(), ("/answer/agent_bbox", Value::Null), "answer.agent_bbox"),
        (hands(), ("/objects", Value::Null), "objects"),
        (hands(), ("/objects", json!([])), "objects"),
        (hands(), ("/objects", json!(["left_hand", "left_hand"])), "objects"),
        (hands(), ("/objects", json!(["_ "])), "objects"),
        (hands(), ("/objects", json!("left_hand")), "objects"),
        (hands(), ("/bboxes", json!([])), "bboxes"),
        (hands(), ("/bboxes/left_hand", json!(3)), "bboxes.left_hand"),
        (hands(), ("/durations", Value::Null), "durations"),
        (hands(), ("/frame_numbers", json!(3)), "frame_numbers"),
        (hands(), ("/clip_uids", json!([2])), "clip_uids"),
        (temporal(), ("/answer/action", json!(4)), "answer.action"),
    ] {
        let error = refused(&changed(row, &[change]));
        assert!(error.starts_with(&format!("rows.jsonl: line 1: `{field}`: ")), "{error}");
    }
    for none in
        [json!({"action": null, "time": "1s"}), json!({"time": "1s"}), json!({"action": " ", "time": 1})]
    {
        let row = read(&changed(temporal(), &[("/answer", none)]));
        assert_eq!((row.action, row.time), (None, Some(1.0)));
    }
}

#[test]
fn an_object_that_was_found_nowhere_has_no_boxes() {
    let row = read(&changed(hands(), &[("/bboxes/left_hand", Value::Null)]));
    let hand = row.roles.iter().find(|role| role.name == "left_hand").unwrap();
    assert!(hand.boxes.is_empty() && row.roles.len() > 1);
}

#[test]
fn lines_may_end_as_they_like_and_ids_come_once() {
    let (a, b) = (person(), changed(person(), &[("/question_id", json!("p2"))]));
    let path = Path::new("rows.jsonl");
    let text = format!("\u{feff}{a}\r\n\r\n  \n{b}");
    assert_eq!(parse(path, text.as_bytes()).unwrap().len(), 2);
    for empty in ["", "\n", "\u{feff}", "\u{feff}\r\n"] {
        assert!(parse(path, empty.as_bytes()).unwrap().is_empty());
    }
    let error = parse(path, format!("{a}\n\n{b}\n{a}").as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "rows.jsonl: line 4: `question_id`: it is line 1's too");
    let error = parse(path, format!("{a}\n{{\"question_id\": }}").as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("rows.jsonl: line 2: no JSON at column 17: expected value"), "{error}");
    let error = parse(path, b"[1]").unwrap_err().to_string();
    assert!(error.contains("line 1: expected an object, found a list"), "{error}");
}

#[test]
fn a_folder_has_all_five_files() {
    let folder = std::env::temp_dir().join(format!("foveal-know-show-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, row) in all() {
        std::fs::write(folder.join(name), row.to_string()).unwrap();
    }
    assert_eq!(read_folder(&folder).unwrap().len(), 5);
    let twice = changed(temporal(), &[("/question_id", json!("p1"))]);
    std::fs::write(folder.join(all()[4].0), twice.to_string()).unwrap();
    let error = read_folder(&folder).unwrap_err().to_string();
    assert!(
        error.contains("5_temporal") && error.contains("`p1` stands in") && error.contains("1_person"),
        "{error}"
    );
    std::fs::remove_file(folder.join(all()[2].0)).unwrap();
    assert!(matches!(read_folder(&folder), Err(crate::Error::Io { .. })));
    std::fs::remove_dir_all(&folder).unwrap();
}
