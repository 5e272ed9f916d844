//! What one answer is worth. `None` everywhere means: it cannot be scored, since the truth is not known.

use super::answer::{Parsed, ParsedBox, as_map};
use super::measures::{alike_action, iou, same_action};
use super::rows::{Role, Row};
use super::scenario::Scenario;
use serde::Serialize;

/// Least IoU of a box that counts as right.
pub const RIGHT_IOU: f64 = 0.5;
/// Seconds by which the start of an action may be missed.
const NEAR_SECONDS: f64 = 1.0;
/// What decimals of seconds lose in binary.
const ROUNDING: f64 = 1e-9;

/// Scores of a role.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RoleScore {
    /// Largest IoU with any true box, in 0..1; 0 where the box was not read.
    pub iou_best: Option<f64>,
    /// IoU with the true box nearest in time to the answer's; 0 where box or time were not read. Only where
    /// the file tells the times of boxes.
    pub iou_nearest: Option<f64>,
}

/// Scores of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RowScore {
    /// Those of its roles, in its order, by name.
    #[serde(serialize_with = "as_map")]
    pub roles: Vec<(String, RoleScore)>,
    /// Whether the time lies in a window; not in [`Scenario::Temporal`].
    pub time_in_window: Option<bool>,
    /// Whether the time is within a second of the action's start, in [`Scenario::Temporal`].
    pub dt_ok: Option<bool>,
    /// Seconds between the two, where both are known.
    pub abs_dt: Option<f64>,
    /// Whether the action is the true one, in [`Scenario::Temporal`].
    pub action_strict: Option<bool>,
    /// Whether it shares most words with the true one.
    pub action_lenient: Option<bool>,
    /// Know and show: all of it is right. The time and every role with an IoU of at least [`RIGHT_IOU`]; in
    /// [`Scenario::Temporal`] the action, strictly, and its time.
    pub joint: Option<bool>,
}

/// Scores an answer to a question. What was not read is wrong.
pub fn score(row: &Row, parsed: &Parsed) -> RowScore {
    match row.scenario {
        Scenario::Temporal => temporal(row, parsed),
        _ => grounded(row, parsed),
    }
}

fn grounded(row: &Row, parsed: &Parsed) -> RowScore {
    let found = |role: &Role| parsed.boxes.iter().find(|(name, _)| *name == role.name).map(|(_, b)| *b);
    let of = |role: &Role| {
        let found = found(role).unwrap_or(ParsedBox::MISSING).corners;
        RoleScore { iou_best: best(role, found), iou_nearest: nearest(role, found, parsed.time) }
    };
    let roles: Vec<(String, RoleScore)> = row.roles.iter().map(|r| (r.name.clone(), of(r))).collect();
    let inside = |t: f64| row.windows.iter().any(|&[start, end]| start <= t && t <= end);
    let time_in_window = (!row.windows.is_empty()).then(|| parsed.time.is_some_and(inside));
    let right: Option<Vec<bool>> =
        roles.iter().map(|(_, role)| role.iou_best.map(|iou| iou >= RIGHT_IOU)).collect();
    let joint = time_in_window.zip(right).map(|(time, boxes)| time && boxes.into_iter().all(|right| right));
    RowScore {
        roles,
        time_in_window,
        dt_ok: None,
        abs_dt: None,
        action_strict: None,
        action_lenient: None,
        joint,
    }
}

fn best(role: &Role, found: Option<[f64; 4]>) -> Option<f64> {
    let of = |truth: &[f64; 4]| found.map_or(0.0, |found| iou(found, *truth));
    role.boxes.iter().map(of).reduce(f64::max)
}

fn nearest(role: &Role, found: Option<[f64; 4]>, time: Option<f64>) -> Option<f64> {
    let mut known = role.boxes.iter().zip(role.moments.as_deref()?);
    let first = known.next()?;
    let Some((found, time)) = found.zip(time) else { return Some(0.0) };
    let far = |moment: &f64| (moment - time).abs();
    // Of two that are equally near the first stays.
    let (truth, _) = known.fold(first, |near, next| if far(next.1) < far(near.1) { next } else { near });
    Some(iou(found, *truth))
}

fn temporal(row: &Row, parsed: &Parsed) -> RowScore {
    let abs_dt = row.time.zip(parsed.time).map(|(truth, time)| (time - truth).abs());
    let dt_ok = row.time.map(|_| abs_dt.is_some_and(|dt| dt <= NEAR_SECONDS + ROUNDING));
    let action = |same: fn(&str, &str) -> bool| {
        let truth = row.action.as_deref()?;
        Some(parsed.action.as_deref().is_some_and(|action| same(action, truth)))
    };
    let (action_strict, action_lenient) = (action(same_action), action(alike_action));
    let joint = action_strict.zip(dt_ok).map(|(action, time)| action && time);
    RowScore { roles: Vec::new(), time_in_window: None, dt_ok, abs_dt, action_strict, action_lenient, joint }
}
