//! The fundamental frequency of every row, as Boersma (1993), Accurate short-term analysis of the fundamental frequency and
//! the harmonics-to-noise ratio of a sampled sound, has it: peaks of the autocorrelation, and the cheapest path through the
//! rows. Its silence threshold is left out, so that a row does not depend on how loud another one is.

/// Hertz of the lowest and highest voice.
pub(super) const LOWEST: f64 = 65.0;
const HIGHEST: f64 = 500.0;
/// Height of a peak from which on a row is rather voiced than not.
const VOICED: f64 = 0.45;
/// What a peak an octave lower has to be higher.
const OCTAVE: f64 = 0.01;
/// What a change between voiced and unvoiced, and a jump by an octave, cost between two rows: the published 0.14 and 0.35,
/// which are for rows every 10 ms, by the time between ours.
const CHANGE: f64 = 0.14 * 0.25;
const JUMP: f64 = 0.35 * 0.25;
const MOST: usize = 14;

/// A period that a row may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) hertz: f64,
    strength: f64,
}

/// Peaks of a row's autocorrelation, `rate` lags a second, and the height of the highest, 0 to 1.
pub(super) fn candidates(correlation: &[f64], rate: f64) -> (Vec<Candidate>, f64) {
    let (mut found, mut voicing) = (Vec::new(), 0.0f64);
    let (from, until) = ((rate / HIGHEST).ceil() as usize, (rate / LOWEST).floor() as usize);
    for lag in from.max(1)..=until {
        let Some(&[before, here, after]) = correlation.get(lag - 1..lag + 2) else { break };
        if here < before || here <= after || here <= 0.0 {
            continue;
        }
        // The top of the parabola through the three.
        let (slope, bend) = ((after - before) / 2.0, before - 2.0 * here + after);
        let beside = -slope / bend;
        let height = here + slope * beside / 2.0;
        // Dividing by the window's own may lift a peak above 1: as far above as if below.
        let height = if height > 1.0 { 1.0 / height } else { height };
        voicing = voicing.max(height);
        let period = (lag as f64 + beside) / rate;
        if height > VOICED / 2.0 {
            let strength = height - OCTAVE * (LOWEST * period).log2();
            found.push(Candidate { hertz: 1.0 / period, strength });
        }
    }
    found.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    found.truncate(MOST);
    (found, voicing)
}

/// Hertz of every row, `None` where it is unvoiced: the path of most strength less what its changes cost.
pub(super) fn path(rows: &[&[Candidate]]) -> Vec<Option<f64>> {
    // What a row may be: unvoiced, then its candidates.
    let choices = |row: &[Candidate]| -> Vec<(Option<f64>, f64)> {
        let voiced = row.iter().map(|c| (Some(c.hertz), c.strength));
        std::iter::once((None, VOICED)).chain(voiced).collect()
    };
    let cost = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (None, None) => 0.0,
        (Some(a), Some(b)) => JUMP * (a / b).log2().abs(),
        _ => CHANGE,
    };
    // Of each row's choices: the best sum up to it, and the choice before.
    let mut before: Vec<(Option<f64>, f64)> = Vec::new();
    let mut came: Vec<Vec<usize>> = Vec::with_capacity(rows.len());
    for row in rows {
        let mut now = choices(row);
        let mut from = vec![0; now.len()];
        for ((hertz, sum), from) in now.iter_mut().zip(&mut from) {
            let ways = before.iter().enumerate().map(|(i, (h, s))| (i, s - cost(*h, *hertz)));
            if let Some((i, best)) = ways.reduce(|a, b| if b.1 > a.1 { b } else { a }) {
                (*from, *sum) = (i, *sum + best);
            }
        }
        came.push(from);
        before = now;
    }
    let last = before.iter().enumerate().reduce(|a, b| if b.1.1 > a.1.1 { b } else { a });
    let mut at = last.map_or(0, |(i, _)| i);
    let mut pitch = Vec::with_capacity(rows.len());
    for (row, from) in rows.iter().zip(&came).rev() {
        pitch.push(at.checked_sub(1).and_then(|i| row.get(i)).map(|c| c.hertz));
        at = from.get(at).copied().unwrap_or(0);
    }
    pitch.reverse();
    pitch
}
