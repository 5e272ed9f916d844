//! What a model is asked, so that its answer can be read.

use super::answer::words;
use super::rows::{Role, Row};
use super::scenario::Scenario;

/// The question, with the format of the answer. Boxes are asked for in pixels of the frames that the model
/// sees.
pub fn prompt(row: &Row) -> String {
    let mut text = row.question.trim().to_owned();
    if !row.choices.is_empty() {
        text += "\n\nChoices:";
        for choice in &row.choices {
            text += &format!("\n- {}", one_line(choice));
        }
    }
    if row.scenario == Scenario::Temporal {
        return text
            + "\n\nAnswer with two lines and nothing else: the action in the words of the question, and the \
               time in seconds at which it starts.\nAction: …\nTime: Ns";
    }
    text += "\n\nAnswer with these lines and nothing else. A box is given by its left, top, right and bottom \
             edge in pixels of the frame; N is the time in seconds at which this can be seen.";
    for role in &row.roles {
        text += &format!("\n{} bbox: [x1, y1, x2, y2]", label(role));
    }
    text + "\nTime: Ns"
}

/// An answer in the format that is asked for.
pub fn answer(row: &Row, boxes: &[[f64; 4]], time: f64, action: &str) -> String {
    let mut lines = Vec::new();
    for (role, [x1, y1, x2, y2]) in row.roles.iter().zip(boxes) {
        lines.push(format!("{} bbox: [{x1}, {y1}, {x2}, {y2}]", label(role)));
    }
    if row.scenario == Scenario::Temporal {
        lines.push(format!("Action: {}", one_line(action)));
    }
    lines.push(format!("Time: {time}s"));
    lines.join("\n")
}

/// The answer that a model should give: everything in it that can be scored is right. `None` where part of
/// the truth is not known.
pub fn ideal_answer(row: &Row) -> Option<String> {
    if row.scenario == Scenario::Temporal {
        return Some(answer(row, &[], row.time?, row.action.as_deref()?));
    }
    let time = row.windows.first()?[0];
    let boxes: Option<Vec<[f64; 4]>> = row.roles.iter().map(|role| role.boxes.first().copied()).collect();
    Some(answer(row, &boxes?, time, ""))
}

/// What a role is called in an answer: `Left hand` for `left_hand`. An object beside a person is `Object`, as
/// its question names it in words of its own.
pub fn label(role: &Role) -> String {
    let mut label = words(&role.name).collect::<Vec<_>>().join(" ");
    if let Some(first) = label.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    label
}

/// A text without what ends an action in an answer.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r', ';'], " ")
}
