//! A report as a person reads it.

use super::report::{GroundedReport, ParseReport, Report, Section, TemporalReport};

impl Report {
    /// A heading and tables for each scenario, in Markdown. Shares are in per cent; `–` stands for what
    /// cannot be told.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        for (scenario, section) in &self.sections {
            let (rows, body) = match section {
                Section::Grounded(g) => (g.rows, grounded(g)),
                Section::Temporal(t) => (t.rows, temporal(t)),
            };
            text += &format!("## {} ({rows} questions)\n\n{body}\n", scenario.file_stem());
        }
        text + &format!("Know and show, mean of the five scenarios: {}\n", share(self.macro_joint))
    }
}

fn grounded(report: &GroundedReport) -> String {
    let mut text = table(&[
        "role",
        "boxes",
        "scorable",
        "mean IoU",
        "IoU ≥ 0.3",
        "IoU ≥ 0.5",
        "at its time",
        "scorable",
        "missing",
        "degenerate",
        "read as x, y, w, h",
    ]);
    for (name, role) in &report.roles {
        text += &line(&[
            name.clone(),
            role.instances.to_string(),
            role.scorable.to_string(),
            number(role.mean_iou_best),
            share(role.iou_best_ge_0_3),
            share(role.iou_best_ge_0_5),
            number(role.mean_iou_nearest),
            role.nearest_scorable.to_string(),
            role.box_missing.to_string(),
            role.box_degenerate.to_string(),
            role.xywh_recovered.to_string(),
        ]);
    }
    let measures = [
        ("time in window", report.time_in_window, report.time_scorable),
        ("know and show", report.joint, report.joint_scorable),
    ];
    text + "\n" + &shares(&measures) + &unread(&report.parse)
}

fn temporal(report: &TemporalReport) -> String {
    let measures = [
        ("action", report.action_strict, report.action_strict_scorable),
        ("action, most words", report.action_lenient, report.action_lenient_scorable),
        ("start within 1 s", report.dt_ok, report.dt_ok_scorable),
        ("know and show", report.joint, report.joint_scorable),
    ];
    shares(&measures) + &unread(&report.parse)
}

fn shares(measures: &[(&str, Option<f64>, usize)]) -> String {
    let mut text = table(&["measure", "right", "scorable"]);
    for (name, value, scorable) in measures {
        text += &line(&[(*name).to_owned(), share(*value), scorable.to_string()]);
    }
    text
}

fn unread(parse: &ParseReport) -> String {
    let actions = parse.action_missing.map(|n| format!(", without an action: {n}")).unwrap_or_default();
    let (answers, times) = (parse.missing_prediction, parse.time_missing);
    format!("\nWithout an answer: {answers}, without a time: {times}{actions}.\n")
}

fn table(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
    line(&names) + "|" + &"---|".repeat(names.len()) + "\n"
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{:.1} %", 100.0 * v))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:.3}"))
}
