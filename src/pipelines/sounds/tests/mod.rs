//! Sounds made here, and files made by programs.

mod beats;
mod damage;
mod files;
mod flux;

use super::Sound;
use std::path::{Path, PathBuf};

/// Silence with decaying tones: (seconds, hertz).
fn clicks(rate: u32, seconds: f64, tones: &[(f64, f64)]) -> Sound {
    let sample = |i: usize| {
        let t = i as f64 / f64::from(rate);
        let tone = |(at, hertz): &(f64, f64)| {
            let since = t - at;
            if since < 0.0 {
                0.0
            } else {
                0.5 * (-30.0 * since).exp() * (std::f64::consts::TAU * hertz * since).sin()
            }
        };
        tones.iter().map(tone).sum::<f64>() as f32
    };
    Sound { samples: (0..(f64::from(rate) * seconds) as usize).map(sample).collect(), rate }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipelines/sounds/fixtures").join(name)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}
