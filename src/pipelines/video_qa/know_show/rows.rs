//! The benchmark's questions, from its five files, whose defects are known and handled here.

use super::fields::{Fields, corners, number, window};
use super::lines::lines;
use super::scenario::Scenario;
use crate::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// The largest published file has three megabytes.
#[cfg(not(target_arch = "wasm32"))]
const MAX_BYTES: u64 = 1 << 30;
/// Frames a second of the videos of [`Scenario::HandObject`].
const FRAME_RATE: f64 = 30.0;
/// What an answer about a person and an object holds beside the key that is named after the object.
/// `object_bbox` is x, y, width and height in some rows, and `person` was taken for such once too often in
/// most: neither is read.
const BESIDE_THE_OBJECT: [&str; 7] =
    ["start_time", "end_time", "agent_bbox", "object_bbox", "start_frame", "end_frame", "person"];

/// Somebody or something to be found, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// `person`, `object`, or in [`Scenario::HandObject`] the object's name, such as `left_hand` or
    /// `tape_measure`.
    pub name: String,
    /// In [`Scenario::PersonObject`] the object's class, such as `closet/cabinet`: another name that is
    /// understood.
    pub class: Option<String>,
    /// True boxes `[x1, y1, x2, y2]` in pixels of the original frames, each with `x2 > x1` and `y2 > y1`.
    /// Empty: the role cannot be scored.
    pub boxes: Vec<[f64; 4]>,
    /// Second of each box, where the file tells which frame it belongs to.
    pub moments: Option<Vec<f64>>,
}

/// One question with its true answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What kind of question.
    pub scenario: Scenario,
    /// Its name, by which predictions refer to it.
    pub question_id: String,
    /// The video's file name or id.
    pub video_id: String,
    /// Parts of the video that the question is about, in [`Scenario::HandObject`].
    pub clips: Vec<String>,
    /// The question as it is asked.
    pub question: String,
    /// Who and what is to be found: one or two, in [`Scenario::HandObject`] more, in [`Scenario::Temporal`]
    /// none.
    pub roles: Vec<Role>,
    /// Spans `[start, end]` in seconds in any of which the answer's time has to lie. Empty: the time cannot
    /// be scored.
    pub windows: Vec<[f64; 2]>,
    /// The true action of [`Scenario::Temporal`]; one published row has none.
    pub action: Option<String>,
    /// Second at which it starts.
    pub time: Option<f64>,
    /// Actions to choose from, where a row lists them under `choices`. The published rows name them in the
    /// question only.
    pub choices: Vec<String>,
}

/// Reads one of the five files.
///
/// # Errors
/// Those of [`parse`]; [`Error::Io`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Row>> {
    let path = path.as_ref();
    parse(path, &crate::weights::file::read(path, MAX_BYTES, "questions")?)
}

/// Reads all five files of a folder, in their order.
///
/// # Errors
/// Those of [`read`]; [`Error::File`] for an id that stands in two of them.
#[cfg(not(target_arch = "wasm32"))]
pub fn read_folder(folder: impl AsRef<Path>) -> Result<Vec<Row>> {
    let (mut rows, mut seen) = (Vec::new(), HashMap::<String, std::path::PathBuf>::new());
    for scenario in Scenario::ALL {
        let path = folder.as_ref().join(format!("{}.jsonl", scenario.file_stem()));
        for row in read(&path)? {
            if let Some(other) = seen.insert(row.question_id.clone(), path.clone()) {
                let id = row.question_id.escape_debug();
                return Err(Error::file(
                    path,
                    format!("question_id `{id}` stands in {} too", other.display()),
                ));
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Questions from the bytes of a file, one JSON object a line. `path` stands in messages, and its name tells
/// the scenario of rows without a `question_category`. Keys that are not used may be anything.
///
/// # Errors
/// [`Error::File`] with line and field for what is no JSON object, lacks a field or has one of another type,
/// for an unknown category, and for an id that comes twice. What the benchmark is known to get wrong (times
/// and boxes that are none) is no error: it is not scored.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Row>> {
    let (mut rows, mut seen) = (Vec::<Row>::new(), HashMap::new());
    for line in lines(path, bytes) {
        let object = line.object()?;
        let row = row(path, Fields::new(line.place, &object))?;
        if let Some(first) = seen.insert(row.question_id.clone(), line.place.line) {
            return Err(line.place.wrong("question_id", format_args!("it is line {first}'s too")));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn row(path: &Path, fields: Fields<'_>) -> Result<Row> {
    let scenario = match fields.get("question_category") {
        Some(_) => {
            let category = fields.text("question_category")?;
            let unknown = || format!("`{}` is not known", category.escape_debug());
            Scenario::of_category(category).ok_or_else(|| fields.wrong("question_category", unknown()))?
        }
        None => Scenario::of_path(path).ok_or_else(|| {
            fields.wrong("question_category", "it is missing, and the file's name does not tell it")
        })?,
    };
    let mut row = Row {
        scenario,
        question_id: fields.text("question_id")?.to_owned(),
        video_id: fields.text("video_id")?.to_owned(),
        clips: Vec::new(),
        question: fields.text("question")?.to_owned(),
        roles: Vec::new(),
        windows: Vec::new(),
        action: None,
        time: None,
        choices: fields.texts("choices")?,
    };
    if scenario == Scenario::HandObject {
        return hands(row, fields);
    }
    let answer = fields.within("answer", "answer.")?;
    if scenario == Scenario::Temporal {
        if answer.get("action").is_some() {
            row.action = Some(answer.any_text("action")?.to_owned()).filter(|a| !a.trim().is_empty());
        }
        row.time = answer.seconds("time")?;
        return Ok(row);
    }
    row.windows.extend(window(answer.seconds("start_time")?, answer.seconds("end_time")?));
    let role = |name: &str, key: &str| {
        let boxes = answer.list(key)?.iter().filter_map(corners).collect();
        Ok::<_, Error>(Role { name: name.to_owned(), class: None, boxes, moments: None })
    };
    row.roles = match scenario {
        Scenario::Person => vec![role("person", "person_bbox")?],
        Scenario::Object => vec![role("object", "object_bbox")?],
        _ => {
            let class = class(answer)?;
            let object = Role { class: Some(class.to_owned()), ..role("object", class)? };
            vec![role("person", "agent_bbox")?, object]
        }
    };
    Ok(row)
}

/// The key that is named after the object: the one list beside the known keys.
fn class<'a>(answer: Fields<'a>) -> Result<&'a str> {
    let lists = answer.others(&BESIDE_THE_OBJECT).filter(|(_, v)| v.is_array());
    let keys: Vec<&str> = lists.map(|(key, _)| key).collect();
    match *keys {
        [key] if !key.trim().is_empty() => Ok(key),
        _ => {
            let found: Vec<String> = keys.iter().map(|k| format!("`{}`", k.escape_debug())).collect();
            let found = if found.is_empty() { "none".into() } else { found.join(", ") };
            Err(answer
                .wrong("<object>", format_args!("expected one list named after the object, found {found}")))
        }
    }
}

/// The rest of a row about hands, which is flat.
fn hands(mut row: Row, fields: Fields<'_>) -> Result<Row> {
    row.clips = fields.texts("clip_uids")?;
    for span in fields.list("durations")? {
        // A span of another shape is as unusable as a reversed one.
        if let Some([start, end]) = span.as_array().map(Vec::as_slice) {
            row.windows.extend(window(number(start), number(end)));
        }
    }
    let frames = fields.list("frame_numbers")?.iter().map(|frame| {
        let frame = frame.as_f64().ok_or_else(|| fields.not("frame_numbers", "numbers", frame))?;
        Ok(frame / FRAME_RATE)
    });
    let frames = frames.collect::<Result<Vec<f64>>>()?;
    let boxes = fields.within("bboxes", "bboxes.")?;
    for name in fields.texts("objects")? {
        if name.split(['_', ' ']).all(|word| word.trim().is_empty()) {
            return Err(fields.wrong("objects", "a name is blank"));
        }
        if row.roles.iter().any(|r| r.name == name) {
            return Err(fields.wrong("objects", format_args!("`{}` stands twice", name.escape_debug())));
        }
        // An object without a list was found nowhere.
        let all = if boxes.get(&name).is_some() { boxes.list(&name)? } else { &[] };
        // Only lists as long as that of the frames say which box belongs to which.
        let known = all.len() == frames.len();
        let valid = all.iter().enumerate().filter_map(|(i, value)| Some((i, corners(value)?)));
        let (at, boxes): (Vec<usize>, Vec<[f64; 4]>) = valid.unzip();
        let moments = known.then(|| at.iter().filter_map(|&i| frames.get(i).copied()).collect());
        row.roles.push(Role { name, class: None, boxes, moments });
    }
    if row.roles.is_empty() {
        return Err(fields.wrong("objects", "it is missing or empty"));
    }
    Ok(row)
}
