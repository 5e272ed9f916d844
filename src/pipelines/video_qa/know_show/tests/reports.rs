use super::super::{Judged, Predictions, Report, ideal_answer, judge};
use super::*;
use std::collections::BTreeMap;

/// Two rows of each scenario: one that is answered as given, one that is not answered.
fn judged(answers: &[(&str, &str)]) -> Vec<Judged> {
    let mut rows = Vec::new();
    for (_, row) in all() {
        let id = format!("{}b", row["question_id"].as_str().unwrap());
        rows.push(read(&row));
        rows.push(read(&changed(row, &[("/question_id", json!(id))])));
    }
    let line = |(id, output): &(&str, &str)| json!({"question_id": id, "output": output}).to_string() + "\n";
    let text: String = answers.iter().map(line).collect();
    judge(&rows, &Predictions::parse(Path::new("a"), text.as_bytes(), &rows).unwrap()).unwrap()
}

fn report(answers: &[(&str, &str)]) -> Value {
    serde_json::to_value(Report::of(&judged(answers))).unwrap()
}

#[test]
fn what_cannot_be_read_is_wrong_and_counted() {
    let report = report(&[
        ("p1", "Person bbox: [1, 1, 0, 0]"),
        ("h1", "Left hand bbox: [200, 0, 100, 100]\nRight hand box: [500, 0, 600, 100]\nTime: 2"),
        ("t1", "Action: Folding the shirt\nTime: 11"),
    ]);
    let person = json!({
        "rows": 2,
        "roles": {"person": {
            "instances": 2, "scorable": 2, "mean_iou_best": 0.0, "iou_best_ge_0_3": 0.0,
            "iou_best_ge_0_5": 0.0,
            "nearest_scorable": 0, "mean_iou_nearest": null, "box_missing": 1, "box_degenerate": 1,
            "xywh_recovered": 0
        }},
        "time_scorable": 2, "time_in_window": 0.0, "joint": 0.0, "joint_scorable": 2,
        "parse": {"missing_prediction": 1, "time_missing": 2}
    });
    assert_eq!(report["1_person_grounded_reasoning"], person);
    let object = &report["2_object_grounded_reasoning"];
    assert_eq!((&object["time_scorable"], &object["time_in_window"]), (&json!(0), &Value::Null));
    assert_eq!((&object["joint_scorable"], &object["joint"]), (&json!(0), &Value::Null));
    assert_eq!(object["parse"], json!({"missing_prediction": 2, "time_missing": 2}));
    let hands = &report["4_hand_object_cogrounded_reasoning"];
    let pooled = json!({
        "hand": {
            "instances": 4, "scorable": 4, "mean_iou_best": 0.5, "iou_best_ge_0_3": 0.5,
            "iou_best_ge_0_5": 0.5,
            "nearest_scorable": 4, "mean_iou_nearest": hands["roles"]["hand"]["mean_iou_nearest"],
            "box_missing": 2, "box_degenerate": 0, "xywh_recovered": 1
        },
        "object": {
            "instances": 2, "scorable": 2, "mean_iou_best": 0.0, "iou_best_ge_0_3": 0.0,
            "iou_best_ge_0_5": 0.0,
            "nearest_scorable": 0, "mean_iou_nearest": null, "box_missing": 2, "box_degenerate": 0,
            "xywh_recovered": 0
        }
    });
    assert_eq!(hands["roles"], pooled);
    // The right hand's box at 2 s is ten pixels off in a hundred; the left one's nearest is that at 1 s.
    let nearest = hands["roles"]["hand"]["mean_iou_nearest"].as_f64().unwrap();
    assert!((nearest - 90.0 / 110.0 / 4.0).abs() < 1e-12, "{nearest}");
    let temporal = json!({
        "rows": 2, "action_strict": 0.0, "action_strict_scorable": 2, "action_lenient": 0.5,
        "action_lenient_scorable": 2, "dt_ok": 0.5, "dt_ok_scorable": 2, "joint": 0.0, "joint_scorable": 2,
        "parse": {"missing_prediction": 1, "time_missing": 1, "action_missing": 1}
    });
    assert_eq!(report["5_temporal_grounded_reasoning"], temporal);
    assert_eq!(report["macro_joint"], Value::Null, "one scenario has no joint share");
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 6, "{keys:?}");
}

#[test]
fn the_mean_of_five_scenarios() {
    let rows: BTreeMap<String, Row> =
        all().iter().map(|(_, v)| (v["question_id"].to_string(), read(v))).collect();
    let mut rows: Vec<Row> = rows.into_values().collect();
    for row in &mut rows {
        if row.windows.is_empty() {
            row.windows.push([1.0, 2.0]);
        }
    }
    let line =
        |row: &Row| json!({"question_id": row.question_id, "output": ideal_answer(row)}).to_string() + "\n";
    let text: String = rows.iter().filter(|r| r.question_id != "h1").map(line).collect();
    let predictions = Predictions::parse(Path::new("a"), text.as_bytes(), &rows).unwrap();
    let judged = judge(&rows, &predictions).unwrap();
    assert_eq!(
        judged.iter().map(|j| &j.question_id).collect::<Vec<_>>(),
        rows.iter().map(|r| &r.question_id).collect::<Vec<_>>()
    );
    assert_eq!(Report::of(&judged).macro_joint, Some(0.8));
    assert_eq!(Report::of(&judged[..3]).macro_joint, None);
    assert_eq!(Report::of(&[]).macro_joint, None);
}

#[test]
fn a_row_is_written_as_it_was_read() {
    let judged = judged(&[("c1", "Person bbox: [100, 50, 180, 250]\nTime: 1")]);
    let row = judged.iter().find(|j| j.question_id == "c1").unwrap();
    let expected = json!({
        "scenario": "3_person_object_cogrounded_reasoning", "question_id": "c1", "has_prediction": true,
        "parsed": {
            "boxes": {
                "person": {"status": "xyxy", "box": [100.0, 50.0, 180.0, 250.0]},
                "object": {"status": "missing", "box": null}
            },
            "time": 1.0, "action": null
        },
        "score": {
            "roles": {
                "person": {"iou_best": 1.0, "iou_nearest": null},
                "object": {"iou_best": 0.0, "iou_nearest": null}
            },
            "time_in_window": true, "dt_ok": null, "abs_dt": null, "action_strict": null,
            "action_lenient": null,
            "joint": false
        }
    });
    assert_eq!(serde_json::to_value(row).unwrap(), expected);
}

#[test]
fn a_person_reads_tables() {
    let text = Report::of(&judged(&[("p1", "Person bbox: [10, 20, 60, 220]\nTime: 3")])).to_markdown();
    for line in [
        "## 1_person_grounded_reasoning (2 questions)",
        "| person | 2 | 2 | 0.250 | 50.0 % | 50.0 % | – | 0 | 1 | 0 | 0 |",
        "| time in window | 50.0 % | 2 |",
        "| time in window | – | 0 |",
        "Without an answer: 1, without a time: 1.",
        "| action, most words | 0.0 % | 2 |",
        "Without an answer: 2, without a time: 2, without an action: 2.",
        "Know and show, mean of the five scenarios: –",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    // Every line of a table has as many cells as its head.
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let cells: Vec<usize> = table.lines().map(|l| l.matches('|').count()).collect();
        assert!(cells.windows(2).all(|w| w[0] == w[1]), "{table}");
    }
}
