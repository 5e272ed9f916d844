//! What a model's text says: a box for each role, a time, an action.

use super::rows::{Role, Row};
use super::scenario::Scenario;
use crate::{Error, Result};
use regex::{Captures, Regex};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// A number in an answer. Digits are ASCII: those of other scripts would match and then not be read.
const NUMBER: &str = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)";

/// How a box was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxStatus {
    /// There is none in the format that was asked for.
    Missing,
    /// Two corners, as was asked for.
    Xyxy,
    /// No two corners of a box, but a corner, a width and a height.
    XywhRecovered,
    /// Four numbers that are neither.
    Degenerate,
}

/// The box of a role.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ParsedBox {
    /// How it was read.
    pub status: BoxStatus,
    /// `[x1, y1, x2, y2]` in pixels of the original frame, unless it is missing or degenerate.
    #[serde(rename = "box")]
    pub corners: Option<[f64; 4]>,
}

impl ParsedBox {
    /// There is none.
    pub const MISSING: Self = Self { status: BoxStatus::Missing, corners: None };
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Parsed {
    /// A box for each role of the row, in its order, by the role's name.
    #[serde(serialize_with = "as_map")]
    pub boxes: Vec<(String, ParsedBox)>,
    /// Seconds.
    pub time: Option<f64>,
    /// In [`Scenario::Temporal`] only.
    pub action: Option<String>,
}

impl Parsed {
    /// An answer that says nothing, as a missing prediction does.
    pub fn nothing(row: &Row) -> Self {
        let boxes = row.roles.iter().map(|r| (r.name.clone(), ParsedBox::MISSING)).collect();
        Self { boxes, time: None, action: None }
    }
}

/// Sizes of the frames that a model saw and of those that the truth is about, `[width, height]` in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrameSizes {
    /// What the model saw, and what its boxes are about.
    pub resized: [f64; 2],
    /// The video's own.
    pub orig: [f64; 2],
}

impl FrameSizes {
    /// Both are sizes.
    ///
    /// # Errors
    /// [`Error::Input`] for a side that is no finite number above 0.
    pub fn new(resized: [f64; 2], orig: [f64; 2]) -> Result<Self> {
        for (what, size) in [("resized", resized), ("orig", orig)] {
            if !size.iter().all(|side| *side > 0.0 && side.is_finite()) {
                return Err(Error::input(what, format!("{size:?} is not a width and a height in pixels")));
            }
        }
        Ok(Self { resized, orig })
    }

    fn scaled(&self, [x1, y1, x2, y2]: [f64; 4]) -> [f64; 4] {
        let ([w, h], [to_w, to_h]) = (self.resized, self.orig);
        [x1 * to_w / w, y1 * to_h / h, x2 * to_w / w, y2 * to_h / h]
    }
}

/// Reads a model's answer to a question. Of several boxes for one role, several times or actions the first
/// counts, and what is not in the format that was asked for is missing. With `sizes`, boxes are brought to
/// the original frame after it is decided whether they are two corners or a corner and a size.
///
/// # Errors
/// [`Error::Input`] for a role with a name too long to be looked for.
pub fn parse(row: &Row, output: &str, sizes: Option<&FrameSizes>) -> Result<Parsed> {
    let boxes = row.roles.iter().map(|role| {
        let found = pattern(row.scenario, role)?.captures(output).map(|found| read_box(&found, sizes));
        Ok((role.name.clone(), found.unwrap_or(ParsedBox::MISSING)))
    });
    let boxes = boxes.collect::<Result<_>>()?;
    let action = (row.scenario == Scenario::Temporal).then(|| action(output)).flatten();
    Ok(Parsed { boxes, time: time(output), action })
}

/// Names by which an answer may call a role.
fn labels(scenario: Scenario, role: &Role) -> Vec<&str> {
    let mut labels = vec![role.name.as_str()];
    labels.extend(role.class.as_deref());
    if scenario == Scenario::HandObject && !is_hand(&role.name) {
        labels.push("object");
    }
    labels
}

/// Whether a role of [`Scenario::HandObject`] is a hand.
pub(super) fn is_hand(name: &str) -> bool {
    matches!(name, "left_hand" | "right_hand")
}

/// Words of a label, however they are joined.
pub(super) fn words(label: &str) -> impl Iterator<Item = &str> {
    label.split(|c: char| c == '_' || c.is_whitespace()).filter(|word| !word.is_empty())
}

/// Compiled patterns that are kept. The benchmark has some 150 sets of labels.
const KEPT: usize = 512;

fn pattern(scenario: Scenario, role: &Role) -> Result<Regex> {
    /// By their text: compiling one takes a hundred times as long as reading an answer.
    static PATTERNS: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let alternative = |label: &str| words(label).map(regex::escape).collect::<Vec<_>>().join(r"[ \t_]+");
    let labels: Vec<String> =
        labels(scenario, role).into_iter().map(alternative).filter(|a| !a.is_empty()).collect();
    let labels = labels.join("|");
    // Each step leaves the map whole, so that what a thread that broke left behind may be used.
    if let Some(kept) = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner).get(&labels) {
        return Ok(kept.clone());
    }
    let numbers = [NUMBER; 4].map(|number| format!("({number})")).join(r"(?:\s*,\s*|\s+)");
    let name = format!(r"(?:^|[;\n])[ \t*\-]*(?:{labels})[ \t_]*(?:bbox|bounding box|box)");
    let text = format!(r"(?i){name}[ \t]*[:=][ \t]*[\[(]\s*{numbers}\s*[\])]");
    let made = Regex::new(&text).map_err(|_| {
        let start: String = role.name.chars().take(40).collect();
        Error::input(format!("role `{}`", start.escape_debug()), "its name is too long to be looked for")
    })?;
    let mut kept = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(labels, made.clone());
    Ok(made)
}

fn read_box(found: &Captures<'_>, sizes: Option<&FrameSizes>) -> ParsedBox {
    let degenerate = ParsedBox { status: BoxStatus::Degenerate, corners: None };
    let number = |i: usize| found.get(i).and_then(|n| n.as_str().parse::<f64>().ok());
    let (Some(a), Some(b), Some(c), Some(d)) = (number(1), number(2), number(3), number(4)) else {
        return degenerate;
    };
    let (status, corners) = if c > a && d > b {
        (BoxStatus::Xyxy, [a, b, c, d])
    } else if c > 0.0 && d > 0.0 {
        (BoxStatus::XywhRecovered, [a, b, a + c, b + d])
    } else {
        return degenerate;
    };
    let corners = sizes.map_or(corners, |s| s.scaled(corners));
    // Hundreds of digits are an infinity, which no measure can use.
    if corners.iter().all(|c| c.is_finite()) {
        ParsedBox { status, corners: Some(corners) }
    } else {
        degenerate
    }
}

fn time(output: &str) -> Option<f64> {
    static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let clock = r"([0-9]+):([0-9]{1,2}(?:\.[0-9]+)?)";
        Regex::new(&format!(r"(?i)\btime[ \t]*[:=][ \t]*(?:{clock}|({NUMBER}))")).ok()
    });
    let found = TIME.as_ref()?.captures(output)?;
    let number = |i: usize| found.get(i)?.as_str().parse::<f64>().ok();
    let time = match (number(1), number(2)) {
        (Some(minutes), Some(seconds)) => 60.0 * minutes + seconds,
        _ => number(3)?,
    };
    time.is_finite().then_some(time)
}

fn action(output: &str) -> Option<String> {
    static ACTION: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)(?:^|[;\n])[ \t*\-]*action[ \t]*[:=][ \t]*([^\n;]+)").ok());
    let found = ACTION.as_ref()?.captures(output)?.get(1)?.as_str();
    let action = found.trim().trim_end_matches('.').trim();
    (!action.is_empty()).then(|| action.to_owned())
}

/// Pairs as a JSON object, in their order.
pub(super) fn as_map<T: Serialize, S: Serializer>(pairs: &[(String, T)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}
