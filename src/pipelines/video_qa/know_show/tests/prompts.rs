use super::super::{Report, Scenario, answer, ideal_answer, prompt, prompt as asking};
use super::*;

#[test]
fn the_format_is_stated() {
    let text = prompt(&read(&hands()));
    assert!(text.starts_with("Find both hands and the paint brush.\n\n"));
    let asked = "\nPaint brush bbox: [x1, y1, x2, y2]\nLeft hand bbox: [x1, y1, x2, y2]\nRight hand bbox: \
                 [x1, y1, x2, y2]\nTime: Ns";
    assert!(text.ends_with(asked), "{text}");
    let text = prompt(&read(&person_object()));
    assert!(text.contains("\nPerson bbox: [") && text.contains("\nObject bbox: ["), "{text}");
    assert!(!text.contains("Action"), "{text}");
    let mut row = read(&temporal());
    let text = prompt(&row);
    assert!(text.contains("\nAction: ") && text.ends_with("\nTime: Ns") && !text.contains("bbox"), "{text}");
    assert!(!text.contains("Choices"), "{text}");
    row = read(&changed(temporal(), &[("/choices", json!(["opening a window", "folding\na shirt"]))]));
    assert!(prompt(&row).contains("\nChoices:\n- opening a window\n- folding a shirt\n\n"));
    assert_eq!(row.choices.len(), 2);
}

#[test]
fn a_prompt_that_is_repeated_is_no_answer() {
    for (_, row) in all() {
        let row = read(&row);
        let parsed = answer::parse(&row, &prompt(&row), None).unwrap();
        assert!(parsed.time.is_none() && parsed.boxes.iter().all(|(_, b)| b.corners.is_none()), "{parsed:?}");
    }
}

#[test]
fn the_ideal_answer_is_right() {
    for (_, value) in all() {
        let row = read(&value);
        let Some(output) = ideal_answer(&row) else {
            assert_eq!(row.scenario, Scenario::Object, "its times are not known");
            continue;
        };
        let parsed = answer::parse(&row, &output, None).unwrap();
        for (role, (name, found)) in row.roles.iter().zip(&parsed.boxes) {
            assert_eq!((&role.name, Some(role.boxes[0])), (name, found.corners), "{output}");
        }
        assert_eq!(parsed.time, row.time.or(row.windows.first().map(|w| w[0])), "{output}");
        assert_eq!(parsed.action, row.action, "{output}");
        let score = super::super::score::score(&row, &parsed);
        assert_eq!(score.joint, Some(true), "{output}");
    }
    for (row, change) in [
        (person(), ("/answer/person_bbox", json!([]))),
        (temporal(), ("/answer/action", Value::Null)),
        (temporal(), ("/answer/time", json!("x"))),
    ] {
        assert_eq!(ideal_answer(&read(&changed(row, &[change]))), None);
    }
}

#[test]
fn labels_are_read_by_the_parser() {
    let mut row = read(&hands());
    for name in ["lid", "nut_cracker", "tape  measure", "éclair", "ß", "3d_printer", "-x", "a.b/c", "_odd_"]
    {
        row.roles[0].name = name.into();
        let output = asking::answer(&row, &[[1.0, 2.0, 3.0, 4.0]], 0.0, "");
        let found = answer::parse(&row, &output, None).unwrap().boxes[0].1.corners;
        assert_eq!(found, Some([1.0, 2.0, 3.0, 4.0]), "{output}");
    }
    assert_eq!(asking::label(&row.roles[1]), "Left hand");
    assert!(Report::of(&[]).sections.is_empty());
}
