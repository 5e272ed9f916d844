//! Lists of clips: CSV or JSON lines with `id`, `text`, `label`, `split` and `file`.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names under which a folder's list is looked for.
const LISTS: [&str; 2] = ["clips.csv", "clips.jsonl"];
/// Sounds that are looked for where a clip names no file.
const SOUNDS: [&str; 5] = ["wav", "flac", "mp3", "ogg", "m4a"];
/// Films that are looked for where there is no sound either.
const FILMS: [&str; 3] = ["mp4", "mov", "mkv"];
const COLUMNS: [&str; 5] = ["id", "text", "label", "split", "file"];
/// Where a clip goes that names no split.
const SPLIT: &str = "test";

/// A clip of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) label: Option<f32>,
    pub(crate) split: String,
    /// Its sound; none where its `file` is empty.
    pub(crate) file: Option<PathBuf>,
}

/// The clips of a list, and the columns in it that are not read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct List {
    pub(crate) clips: Vec<Listed>,
    pub(crate) unread: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    text: String,
    label: Option<f32>,
    split: Option<String>,
    file: Option<String>,
    #[serde(flatten)]
    unread: BTreeMap<String, serde_json::Value>,
}

/// The list itself, or that in a folder.
pub(crate) fn place(path: &Path) -> Result<PathBuf, String> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let found: Vec<PathBuf> = LISTS.iter().map(|name| path.join(name)).filter(|path| path.exists()).collect();
    match &found[..] {
        [only] => Ok(only.clone()),
        [] => Err(format!("{}: a folder of sounds needs {} or {}", path.display(), LISTS[0], LISTS[1])),
        _ => Err(format!("{}: it has both {} and {}: name one", path.display(), LISTS[0], LISTS[1])),
    }
}

/// Reads a list. Every clip is looked at before any sound is: ids come once, texts say something, labels lie in the range, and
/// files are there.
pub(crate) fn read(path: &Path, range: [f32; 2]) -> Result<List, String> {
    let refuse = |reason: String| format!("{}: {reason}", path.display());
    let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    // Spreadsheets begin a file with a mark of its encoding.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        refuse(format!("line {line} is not UTF-8: save the list in that encoding"))
    })?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let (lines, mut unread) = match extension.as_str() {
        "csv" | "tsv" => table(text),
        "jsonl" | "ndjson" => json(text),
        _ => Err("a list is a .csv, .tsv or .jsonl file, or a folder with clips.csv or clips.jsonl".into()),
    }
    .map_err(refuse)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut seen = BTreeMap::new();
    let mut clips = Vec::with_capacity(lines.len());
    for (number, line) in lines {
        let id = line.id.trim().to_owned();
        let of = |reason: String| refuse(format!("line {number}, clip `{}`: {reason}", id.escape_debug()));
        if id.is_empty() {
            return Err(of("its id is empty".into()));
        }
        if let Some(before) = seen.insert(id.clone(), number) {
            return Err(of(format!("its id stands in line {before} too")));
        }
        if line.text.trim().is_empty() {
            return Err(of("it has no text".into()));
        }
        let [low, high] = range;
        if let Some(label) = line.label.filter(|label| !(low..=high).contains(label)) {
            return Err(of(format!("label {label} is outside {low}..{high} (--label-range)")));
        }
        let split = match line.split.as_deref().map(str::trim).unwrap_or_default() {
            "" => SPLIT,
            // As other people call the clips that a training run looks at.
            "dev" | "val" | "validation" => "valid",
            other => other,
        };
        let split = split.to_owned();
        let file = sound(folder, &id, line.file.as_deref().map(str::trim)).map_err(of)?;
        for name in line.unread.into_keys().filter(|name| !unread.contains(name)).collect::<Vec<_>>() {
            unread.push(name);
        }
        clips.push(Listed { id, text: line.text, label: line.label, split, file });
    }
    if clips.is_empty() {
        return Err(refuse("it lists no clip".into()));
    }
    Ok(List { clips, unread })
}

/// The file of a clip's sound.
fn sound(folder: &Path, id: &str, named: Option<&str>) -> Result<Option<PathBuf>, String> {
    match named {
        Some("") => Ok(None),
        Some(name) => {
            let file = folder.join(name);
            if file.is_file() { Ok(Some(file)) } else { Err(format!("{} is not there", file.display())) }
        }
        None => {
            let beside = |extensions: &[&str]| -> Vec<PathBuf> {
                let name = |extension| folder.join(format!("{id}.{extension}"));
                extensions.iter().map(name).filter(|f| f.is_file()).collect()
            };
            let sounds = beside(&SOUNDS);
            let found = if sounds.is_empty() { beside(&FILMS) } else { sounds };
            match &found[..] {
                [only] => Ok(Some(only.clone())),
                [] => Err(format!(
                    "no {id}.wav, .flac, .mp3, .ogg, .m4a, .mp4, .mov or .mkv stands beside the list; a column \
                     `file` names other files, and is empty where there is no sound"
                )),
                _ => Err(format!("{id} stands beside the list in several formats: name one in `file`")),
            }
        }
    }
}

type Lines = (Vec<(u64, Line)>, Vec<String>);

fn table(text: &str) -> Result<Lines, String> {
    let first = text.lines().next().unwrap_or_default();
    // Where a comma is part of numbers, spreadsheets part cells by semicolons.
    let delimiter = [b'\t', b';'].into_iter().find(|mark| first.contains(*mark as char)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|e| e.to_string())?.clone();
    let headers: Vec<&str> = headers.iter().map(str::trim).collect();
    let mut at = BTreeMap::new();
    for (i, name) in headers.iter().enumerate() {
        if at.insert(*name, i).is_some() && COLUMNS.contains(name) {
            return Err(format!("line 1 has the column `{name}` twice"));
        }
    }
    if let Some(missing) = COLUMNS[..2].iter().find(|name| !at.contains_key(*name)) {
        let found = headers.join(", ");
        return Err(format!("line 1 has no column `{missing}`, only {found}; id and text are needed"));
    }
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| e.to_string())?;
        let number = record.position().map_or(0, csv::Position::line);
        let cell = |name: &str| at.get(name).and_then(|&i| record.get(i));
        let label = match cell("label").map(str::trim).filter(|label| !label.is_empty()) {
            Some(label) => {
                // With a comma, which is a number's where semicolons part cells.
                let plain = if delimiter == b';' { label.replace(',', ".") } else { label.to_owned() };
                let wrong = |_| format!("line {number}: label `{}` is no number", label.escape_debug());
                Some(plain.parse().map_err(wrong)?)
            }
            None => None,
        };
        let own = |name: &str| cell(name).map(str::to_owned);
        let line = Line {
            id: own("id").unwrap_or_default(),
            text: own("text").unwrap_or_default(),
            label,
            split: own("split"),
            file: own("file"),
            unread: BTreeMap::new(),
        };
        lines.push((number, line));
    }
    let unread = headers.iter().filter(|name| !COLUMNS.contains(name));
    Ok((lines, unread.map(|&name| name.to_owned()).collect()))
}

fn json(text: &str) -> Result<Lines, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.map(|(number, line)| {
        let line = serde_json::from_str(line).map_err(|e| format!("line {number}: {e}"))?;
        Ok((number, line))
    });
    Ok((parsed.collect::<Result<_, String>>()?, Vec::new()))
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
