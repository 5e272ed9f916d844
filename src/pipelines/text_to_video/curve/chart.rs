//! Curves as a few lines of text.

use super::{TimeAxis, TimingCurve};
use std::fmt::Write;

const BARS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a row of frames; longer clips go on below.
const FRAMES_A_ROW: usize = 21;

/// A table of latent frames, their times, and each word's wanted values: a bar and, where it is neither 0 nor 1,
/// the number. A frame's time is when it appears.
pub fn chart(axis: &TimeAxis, words: &[(&str, &TimingCurve)]) -> String {
    let width = words.iter().map(|(word, _)| word.chars().count()).chain([12]).max().unwrap_or(12);
    let mut text = String::new();
    // Writing to a string does not fail.
    let mut put = |part: &str| {
        let _ = text.write_str(part);
    };
    let frames: Vec<usize> = (0..axis.latent_frames()).collect();
    for row in frames.chunks(FRAMES_A_ROW) {
        let mut line = |name: &str, cell: &dyn Fn(usize) -> String| {
            put(&format!("{name:<width$} "));
            row.iter().for_each(|&f| put(&format!(" {:<5}", cell(f))));
            put("\n");
        };
        line("latent frame", &|f| f.to_string());
        line("from second", &|f| format!("{:.2}", axis.seconds_of(f).0));
        for (word, curve) in words {
            line(word, &|f| curve.values().get(f).map_or_else(String::new, |v| bar(*v)));
        }
    }
    text
}

fn bar(value: f32) -> String {
    let level = (value * 8.0).round() as usize;
    // A small value is not nothing.
    let level = if value > 0.0 { level.max(1) } else { level };
    let bar = BARS.get(level).copied().unwrap_or('?');
    if value == 0.0 || value == 1.0 { bar.to_string() } else { format!("{bar}{value:.2}") }
}
