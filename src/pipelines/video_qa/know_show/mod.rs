//! Know-Show: questions about videos whose answers have to be known and shown. Who or what does something,
//! with a box; when, in seconds; and which of some actions starts first, and when.
//!
//! The questions come from the benchmark's five files ([`rows`], [`read_folder`]), answers from any model as
//! lines of JSON ([`predictions`]). [`prompt()`] asks so that [`answer`] can read, [`judge`] scores every
//! question ([`score`]), and a [`Report`] sums up. Files with questions and videos are the user's: they are
//! published without a licence.
//!
//! How answers are read and scored is this library's own definition, since no script of the benchmark's
//! authors is published; numbers of their paper are not comparable.
//!
//! - Boxes are `[x1, y1, x2, y2]`. Four numbers that are no two corners are read as x, y, width, height. A
//!   box of that kind that could be two corners is taken for such.
//! - A box is worth its largest IoU with any true box of its role, since most files do not tell which box
//!   belongs to which frame. Where hands are asked for and they do, its IoU with the one nearest in time is
//!   reported too.
//! - A time is right in any of the question's windows; the start of an action within a second.
//! - What cannot be read is wrong, and counted. Where the truth is not known, nothing is scored.

pub mod answer;
mod fields;
mod lines;
mod markdown;
pub mod measures;
pub mod predictions;
pub mod prompt;
pub mod report;
pub mod rows;
mod scenario;
pub mod score;
#[cfg(not(target_arch = "wasm32"))]
pub mod survey;

pub use self::{
    answer::{BoxStatus, FrameSizes, Parsed, ParsedBox},
    predictions::{Prediction, Predictions},
    prompt::{ideal_answer, prompt},
    report::{Judged, Report, Section, judge},
    rows::{Role, Row},
    scenario::Scenario,
    score::{RoleScore, RowScore},
};

#[cfg(not(target_arch = "wasm32"))]
pub use self::{
    rows::{read, read_folder},
    survey::{Respondent, SurveyEvent, find_video, survey},
};

#[cfg(test)]
mod tests;
