//! The curves as SVG: what was wanted, what each clip paid attention to, and what each clip shows.

use super::clips::{Demo, Shown, Word};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use std::error::Error;

const BEFORE: RGBColor = RGBColor(120, 124, 138);
const AFTER: RGBColor = RGBColor(20, 110, 200);
const WANTED: RGBColor = RGBColor(240, 170, 40);
const PANEL: (u32, u32) = (980, 340);
/// Width of the legend beside a panel.
const LEGEND: u32 = 190;

/// One axis unit a frame, with a label on each whole frame.
struct FrameAxis(std::ops::Range<f64>, usize);

impl Ranged for FrameAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.0.start) / (self.0.end - self.0.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        let every = self.1.div_ceil(24).max(1);
        (0..self.1).step_by(every).map(|f| f as f64).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.0.clone()
    }
}

impl ValueFormatter<f64> for FrameAxis {
    fn format(value: &f64) -> String {
        format!("{value:.0}")
    }
}

/// One panel a word, under each other (SVG).
pub(crate) fn curves(demo: &Demo) -> Result<String, Box<dyn Error>> {
    let rows = demo.words.len().max(1);
    let mut text = String::new();
    let root = SVGBackend::with_string(&mut text, (PANEL.0, PANEL.1 * rows as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for ((group, word), area) in demo.words.iter().enumerate().zip(root.split_evenly((rows, 1))) {
        let (left, right) = area.split_horizontally(PANEL.0 - LEGEND);
        panel(demo, group, word, &left)?;
        legend(&right)?;
    }
    root.present()?;
    drop(root);
    Ok(text)
}

fn panel(
    demo: &Demo,
    group: usize,
    word: &Word,
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<(), Box<dyn Error>> {
    let frames = demo.size[0];
    let (before, after) = (demo.before.heat.over_time(group), demo.after.heat.over_time(group));
    let top = before.iter().chain(&after).copied().fold(f32::MIN_POSITIVE, f32::max);
    let axis = FrameAxis(-0.5..frames as f64 - 0.5, frames);
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("\u{201c}{}\u{201d} in \u{201c}{}\u{201d}", word.phrase, demo.prompt),
            ("sans-serif", 18),
        )
        .margin(14)
        .x_label_area_size(38)
        .y_label_area_size(52)
        .build_cartesian_2d(axis, -0.16f64..1.16f64)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.12));
    mesh.y_labels(6)
        .y_label_formatter(&|v| if (0.0..=1.001).contains(v) { format!("{v:.1}") } else { String::new() });
    mesh.x_desc("latent frame")
        .y_desc("attention (largest = 1), presence")
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 13))
        .draw()?;

    // Wanted: a step of full width around each frame.
    let steps = |curve: &[f32]| -> Vec<(f64, f64)> {
        let corners =
            |(f, v): (usize, &f32)| [(f as f64 - 0.5, f64::from(*v)), (f as f64 + 0.5, f64::from(*v))];
        curve.iter().enumerate().flat_map(corners).collect()
    };
    chart.draw_series(
        AreaSeries::new(steps(&word.curve), 0.0, WANTED.mix(0.25)).border_style(WANTED.stroke_width(2)),
    )?;
    for (values, ink) in [(&before, BEFORE), (&after, AFTER)] {
        let line = values.iter().enumerate().map(|(f, v)| (f as f64, f64::from(v / top)));
        chart.draw_series(LineSeries::new(line, ink.stroke_width(3)))?;
    }
    // A row of dots a clip: above 1 where the object is there, a cross where it is there but not as one, below 0 where it
    // is not there.
    for (take, ink, offset) in [(&demo.before, BEFORE, 0.0), (&demo.after, AFTER, 0.065)] {
        let frames_of = |what: Shown| (0..frames).filter(move |f| take.shown(word, *f) == Some(what));
        let (above, below) = (1.045 + offset, -0.045 - offset);
        chart.draw_series(frames_of(Shown::Once).map(|f| Circle::new((f as f64, above), 5, ink.filled())))?;
        chart.draw_series(
            frames_of(Shown::Wrongly).map(|f| Cross::new((f as f64, above), 5, ink.stroke_width(2))),
        )?;
        chart.draw_series(
            frames_of(Shown::No).map(|f| Circle::new((f as f64, below), 5, ink.stroke_width(1))),
        )?;
    }
    Ok(())
}

fn legend(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<(), Box<dyn Error>> {
    let row = |i: i32| 60 + 26 * i;
    let text = |i: i32, words: &'static str| Text::new(words, (36, row(i) - 7), ("sans-serif", 14));
    area.draw(&Rectangle::new([(4, row(0) - 6), (28, row(0) + 6)], WANTED.mix(0.5).filled()))?;
    area.draw(&text(0, "wanted"))?;
    for (i, ink, name) in [(1, BEFORE, "attention, uncontrolled"), (2, AFTER, "attention, controlled")] {
        area.draw(&PathElement::new([(4, row(i)), (28, row(i))], ink.stroke_width(3)))?;
        area.draw(&text(i, name))?;
    }
    for (i, ink, name) in [(3, BEFORE, "measured, uncontrolled"), (4, AFTER, "measured, controlled")] {
        area.draw(&Circle::new((10, row(i)), 5, ink.filled()))?;
        area.draw(&Circle::new((23, row(i)), 5, ink.stroke_width(1)))?;
        area.draw(&text(i, name))?;
    }
    area.draw(&text(5, "filled: there; empty: not"))?;
    area.draw(&text(6, "cross: not as one object"))?;
    Ok(())
}
