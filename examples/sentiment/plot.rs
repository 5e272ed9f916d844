//! Losses over the epochs, and predicted against true scores, as SVG.

use foveal::pipelines::sentiment::EpochRecord;
use foveal::weights::write_whole;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const SIZE: (u32, u32) = (760, 460);
const TRAIN: RGBColor = RGBColor(120, 124, 138);
const VALID: RGBColor = RGBColor(20, 110, 200);

/// Mean squared error in training and mean absolute error on the validation clips, by epoch.
pub(crate) fn losses(history: &[EpochRecord], path: &Path) -> Result<(), Box<dyn Error>> {
    let mut svg = String::new();
    draw_losses(history, &mut svg)?;
    Ok(write_whole(path, svg.as_bytes())?)
}

fn draw_losses(history: &[EpochRecord], svg: &mut String) -> Result<(), Box<dyn Error>> {
    let epochs = history.len().max(2) as f64;
    let lines = [
        ("mean squared error, training", TRAIN, history.iter().map(|e| e.train_mse).collect::<Vec<_>>()),
        ("mean absolute error, validation", VALID, history.iter().map(|e| e.valid.mae()).collect()),
    ];
    let top = lines.iter().flat_map(|(_, _, v)| v).copied().fold(1e-3, f64::max) * 1.08;
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(1.0..epochs, 0.0..top)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.12));
    mesh.x_desc("epoch").axis_desc_style(("sans-serif", 14)).label_style(("sans-serif", 13)).draw()?;
    for (i, (name, ink, values)) in lines.into_iter().enumerate() {
        let points = values.iter().enumerate().map(|(e, v)| (e as f64 + 1.0, *v));
        chart.draw_series(LineSeries::new(points, ink.stroke_width(3)))?;
        let y = 24 + 22 * i as i32;
        root.draw(&PathElement::new([(480, y), (506, y)], ink.stroke_width(3)))?;
        root.draw(&Text::new(name, (514, y - 8), ("sans-serif", 14)))?;
    }
    root.present()?;
    Ok(())
}

/// One dot a clip, on the diagonal where the score is the label.
pub(crate) fn predicted(
    scores: &[f32],
    labels: &[f32],
    range: [f32; 2],
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut svg = String::new();
    draw_predicted(scores, labels, range, &mut svg)?;
    Ok(write_whole(path, svg.as_bytes())?)
}

fn draw_predicted(
    scores: &[f32],
    labels: &[f32],
    [low, high]: [f32; 2],
    svg: &mut String,
) -> Result<(), Box<dyn Error>> {
    let range = || f64::from(low) * 1.08..f64::from(high) * 1.08;
    let root = SVGBackend::with_string(svg, (SIZE.1 + 60, SIZE.1 + 60)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(range(), range())?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.12));
    mesh.x_desc("label")
        .y_desc("score")
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 13))
        .draw()?;
    let ends = [low, high].map(|v| (f64::from(v), f64::from(v)));
    chart.draw_series(LineSeries::new(ends, TRAIN.stroke_width(1)))?;
    // A score beyond the labels' range lies on the edge.
    let dot = |(s, l): (&f32, &f32)| {
        let score = f64::from(*s).clamp(range().start, range().end);
        Circle::new((f64::from(*l), score), 3, VALID.mix(0.55).filled())
    };
    chart.draw_series(scores.iter().zip(labels).map(dot))?;
    root.present()?;
    Ok(())
}
