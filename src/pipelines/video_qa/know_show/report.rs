//! All answers together: shares and means over what can be scored, and counts of what could not be read.

use super::answer::{BoxStatus, Parsed, ParsedBox, is_hand, parse};
use super::predictions::Predictions;
use super::rows::Row;
use super::scenario::Scenario;
use super::score::{RIGHT_IOU, RoleScore, RowScore, score};
use crate::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// IoU from which on a box is roughly right.
const ROUGH_IOU: f64 = 0.3;

/// One question with what was answered and what that is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Judged {
    /// What kind of question.
    pub scenario: Scenario,
    /// Its id.
    pub question_id: String,
    /// Whether there was an answer at all.
    pub has_prediction: bool,
    /// What was read in it.
    pub parsed: Parsed,
    /// What that is worth.
    pub score: RowScore,
}

/// Scores every question, in the order of `rows`; one without an answer is wrong wherever it can be scored.
///
/// # Errors
/// Those of [`parse`].
pub fn judge(rows: &[Row], predictions: &Predictions) -> Result<Vec<Judged>> {
    let one = |row: &Row| {
        let prediction = predictions.get(&row.question_id);
        let parsed = match prediction {
            Some(p) => parse(row, &p.output, p.sizes.as_ref())?,
            None => Parsed::nothing(row),
        };
        let score = score(row, &parsed);
        Ok(Judged {
            scenario: row.scenario,
            question_id: row.question_id.clone(),
            has_prediction: prediction.is_some(),
            parsed,
            score,
        })
    };
    rows.iter().map(one).collect()
}

/// Boxes of one role in one scenario. Shares and means are over what is scorable, `None` where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RoleReport {
    /// Boxes that were asked for.
    pub instances: usize,
    /// Those whose truth is known.
    pub scorable: usize,
    /// Mean of the largest IoU with any true box, in 0..1.
    pub mean_iou_best: Option<f64>,
    /// Share of boxes where that is at least 0.3.
    pub iou_best_ge_0_3: Option<f64>,
    /// Share of boxes where that is at least 0.5.
    pub iou_best_ge_0_5: Option<f64>,
    /// Boxes where the true box at the answer's time is known.
    pub nearest_scorable: usize,
    /// Mean IoU with that, in 0..1.
    pub mean_iou_nearest: Option<f64>,
    /// Boxes that no answer gave, missing answers among them.
    pub box_missing: usize,
    /// Boxes of four numbers that are no box.
    pub box_degenerate: usize,
    /// Boxes that were read as a corner and a size.
    pub xywh_recovered: usize,
}

/// Answers without what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ParseReport {
    /// Questions without an answer.
    pub missing_prediction: usize,
    /// Questions without a time, those without an answer among them.
    pub time_missing: usize,
    /// The same for actions, in [`Scenario::Temporal`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_missing: Option<usize>,
}

/// One of the scenarios with boxes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GroundedReport {
    /// Questions.
    pub rows: usize,
    /// By role; those of [`Scenario::HandObject`] are pooled into `hand` and `object`.
    pub roles: BTreeMap<String, RoleReport>,
    /// Questions with a valid window.
    pub time_scorable: usize,
    /// Share of them where the time lies in one.
    pub time_in_window: Option<f64>,
    /// Share of questions where all of it is right.
    pub joint: Option<f64>,
    /// Questions where that can be told.
    pub joint_scorable: usize,
    /// What could not be read.
    pub parse: ParseReport,
}

/// The scenario with actions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TemporalReport {
    /// Questions.
    pub rows: usize,
    /// Share of actions that are the true ones.
    pub action_strict: Option<f64>,
    /// Questions with a known action.
    pub action_strict_scorable: usize,
    /// Share of actions that share most words with the true ones.
    pub action_lenient: Option<f64>,
    /// Questions with a known action.
    pub action_lenient_scorable: usize,
    /// Share of times within a second of the true ones.
    pub dt_ok: Option<f64>,
    /// Questions with a known time.
    pub dt_ok_scorable: usize,
    /// Share of questions where action, strictly, and time are right.
    pub joint: Option<f64>,
    /// Questions where that can be told.
    pub joint_scorable: usize,
    /// What could not be read.
    pub parse: ParseReport,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Section {
    /// With boxes.
    Grounded(GroundedReport),
    /// With actions.
    Temporal(TemporalReport),
}

impl Section {
    /// Share of questions where all of it is right, in 0..1.
    pub fn joint(&self) -> Option<f64> {
        match self {
            Self::Grounded(g) => g.joint,
            Self::Temporal(t) => t.joint,
        }
    }
}

/// What a model's answers are worth. These measures are this library's own: those of the benchmark's paper
/// are not published.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The scenarios that have questions.
    #[serde(flatten)]
    pub sections: BTreeMap<Scenario, Section>,
    /// Mean of the five scenarios' joint shares; `None` unless there are all five.
    pub macro_joint: Option<f64>,
}

impl Report {
    /// Of scored questions.
    pub fn of(judged: &[Judged]) -> Self {
        let mut sections = BTreeMap::new();
        for scenario in Scenario::ALL {
            let own: Vec<&Judged> = judged.iter().filter(|j| j.scenario == scenario).collect();
            if !own.is_empty() {
                sections.insert(scenario, section(scenario, &own));
            }
        }
        let joints = Scenario::ALL.iter().map(|s| sections.get(s).and_then(Section::joint));
        let macro_joint = joints.collect::<Option<Vec<f64>>>().and_then(|all| mean(&all));
        Self { sections, macro_joint }
    }
}

fn section(scenario: Scenario, own: &[&Judged]) -> Section {
    let share = |of: fn(&RowScore) -> Option<bool>| {
        let scored: Vec<f64> = own.iter().filter_map(|j| of(&j.score)).map(one_if).collect();
        (mean(&scored), scored.len())
    };
    let count = |of: fn(&Judged) -> bool| own.iter().filter(|j| of(j)).count();
    let action_missing = || count(|j| j.parsed.action.is_none());
    let parse = ParseReport {
        missing_prediction: count(|j| !j.has_prediction),
        time_missing: count(|j| j.parsed.time.is_none()),
        action_missing: (scenario == Scenario::Temporal).then(action_missing),
    };
    let rows = own.len();
    let (joint, joint_scorable) = share(|s| s.joint);
    if scenario == Scenario::Temporal {
        let (action_strict, action_strict_scorable) = share(|s| s.action_strict);
        let (action_lenient, action_lenient_scorable) = share(|s| s.action_lenient);
        let (dt_ok, dt_ok_scorable) = share(|s| s.dt_ok);
        return Section::Temporal(TemporalReport {
            rows,
            action_strict,
            action_strict_scorable,
            action_lenient,
            action_lenient_scorable,
            dt_ok,
            dt_ok_scorable,
            joint,
            joint_scorable,
            parse,
        });
    }
    let mut pooled = BTreeMap::<String, Vec<(ParsedBox, RoleScore)>>::new();
    for judged in own {
        for ((name, parsed), (_, score)) in judged.parsed.boxes.iter().zip(&judged.score.roles) {
            pooled.entry(pool(scenario, name).to_owned()).or_default().push((*parsed, *score));
        }
    }
    let roles = pooled.into_iter().map(|(name, all)| (name, role(&all))).collect();
    let (time_in_window, time_scorable) = share(|s| s.time_in_window);
    Section::Grounded(GroundedReport {
        rows,
        roles,
        time_scorable,
        time_in_window,
        joint,
        joint_scorable,
        parse,
    })
}

/// Under which name a role is counted.
fn pool(scenario: Scenario, name: &str) -> &str {
    match scenario {
        Scenario::HandObject if is_hand(name) => "hand",
        Scenario::HandObject => "object",
        _ => name,
    }
}

fn role(all: &[(ParsedBox, RoleScore)]) -> RoleReport {
    let best: Vec<f64> = all.iter().filter_map(|(_, score)| score.iou_best).collect();
    let nearest: Vec<f64> = all.iter().filter_map(|(_, score)| score.iou_nearest).collect();
    let least = |bound: f64| mean(&best.iter().map(|&iou| one_if(iou >= bound)).collect::<Vec<_>>());
    let count = |status: BoxStatus| all.iter().filter(|(parsed, _)| parsed.status == status).count();
    RoleReport {
        instances: all.len(),
        scorable: best.len(),
        mean_iou_best: mean(&best),
        iou_best_ge_0_3: least(ROUGH_IOU),
        iou_best_ge_0_5: least(RIGHT_IOU),
        nearest_scorable: nearest.len(),
        mean_iou_nearest: mean(&nearest),
        box_missing: count(BoxStatus::Missing),
        box_degenerate: count(BoxStatus::Degenerate),
        xywh_recovered: count(BoxStatus::XywhRecovered),
    }
}

fn one_if(right: bool) -> f64 {
    if right { 1.0 } else { 0.0 }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
