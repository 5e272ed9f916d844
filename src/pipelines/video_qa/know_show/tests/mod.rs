#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod predictions;
mod prompts;
mod properties;
mod reports;
mod rows;
mod scores;
mod survey;

use super::{Row, rows as reading};
use serde_json::{Value, json};
use std::path::Path;

/// A box that is none, seconds that are none and spans that are none stand beside good ones, as in the
/// published files.
fn person() -> Value {
    json!({
        "question_id": "p1", "video_id": "AAAAA.mp4", "question": "Locate the person who waters a plant.",
        "question_category": "action_conditioned_person_grounded_reasoning",
        "answer": {
            "start_time": 2.5, "end_time": 9.0, "start_frame": "AAAAA.mp4/000075.png",
            "person_bbox": [[10.0, 20.0, 110.0, 220.0], [30, 20, 30, 90], [60.5, 20.0, 160.5, 220.0]]
        }
    })
}

fn object() -> Value {
    json!({
        "question_id": "o1", "video_id": "BBBBB.mp4", "question": "Show the kettle that the person fills.",
        "question_category": "action_conditioned_object_grounded_reasoning",
        "answer": {"start_time": "x", "end_time": "x", "object_bbox": [[5.0, 5.0, 45.0, 65.0]]}
    })
}

fn person_object() -> Value {
    json!({
        "question_id": "c1", "video_id": "CCCCC.mp4", "question": "Find the person and the cupboard.",
        "question_category": "action_conditioned_person_object_cogrounded_reasoning",
        "answer": {
            "start_time": 0.0, "end_time": 4.0,
            "agent_bbox": [[100.0, 50.0, 180.0, 250.0]],
            // Converted once too often, and not converted at all.
            "person": [[100.0, 50.0, 280.0, 300.0]],
            "object_bbox": [[200.0, 40.0, 60.0, 90.0]],
            "shelf/cupboard": [[200.0, 40.0, 260.0, 130.0]]
        }
    })
}

fn hands() -> Value {
    json!({
        "question_id": "h1", "video_id": "uid-1", "question": "Find both hands and the paint brush.",
        "question_category": "action_conditioned_hand_object_cogrounded_reasoningg",
        "clip_ids": ["7"], "clip_uids": ["clip-7"], "narration_text": "Camera wearer paints",
        "unique_id": "u",
        "objects": ["paint_brush", "left_hand", "right_hand"],
        "bboxes": {
            "paint_brush": [[300.0, 300.0, 400.0, 500.0]],
            "left_hand": [[0.0, 0.0, 100.0, 100.0], [9.0, 9.0, 9.0, 9.0], [200.0, 0.0, 300.0, 100.0]],
            "right_hand": [[500.0, 0.0, 600.0, 100.0], [510.0, 0.0, 610.0, 100.0], [700.0, 0.0, 800.0, 100.0]]
        },
        "durations": [[1.0, 3.0], [8.0, 7.0], [10.0, 12.0]],
        "frame_numbers": [30, 60, 330]
    })
}

fn temporal() -> Value {
    json!({
        "question_id": "t1", "video_id": "DDDDD.mp4",
        "question": "Between opening a window and folding a shirt, which action starts last, and when?",
        "question_category": "action_conditioned_temporal_grounded_reasoning",
        "answer": {"action": "Folding a shirt", "time": " 11.00s"}
    })
}

/// Names of the five files, with a row each.
fn all() -> [(&'static str, Value); 5] {
    [
        ("1_person_grounded_reasoning.jsonl", person()),
        ("2_object_grounded_reasoning.jsonl", object()),
        ("3_person_object_cogrounded_reasoning.jsonl", person_object()),
        ("4_hand_object_cogrounded_reasoning.jsonl", hands()),
        ("5_temporal_grounded_reasoning.jsonl", temporal()),
    ]
}

/// A row with some values changed: JSON pointers and what stands there then; null takes a key away.
fn changed(mut row: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/");
        let object = row.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
        if value.is_null() {
            object.remove(&key);
        } else {
            object.insert(key, value.clone());
        }
    }
    row
}

fn read(row: &Value) -> Row {
    let rows = reading::parse(Path::new("rows.jsonl"), row.to_string().as_bytes());
    rows.unwrap().pop().unwrap()
}

fn refused(row: &Value) -> String {
    reading::parse(Path::new("rows.jsonl"), row.to_string().as_bytes()).unwrap_err().to_string()
}
