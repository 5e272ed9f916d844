//! One row: every library's first call, whether they agree, then rounds in which they take turns.

use crate::library::{Library, Result};
use crate::rows::{Inputs, Op};
use cpu_time::ProcessTime;
use std::time::{Duration, Instant};

/// A round lasts at least this long, by more than one call where one is short.
const ROUND: f64 = 0.1;
const MOST_CALLS: usize = 200;

/// Seconds of one call.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub wall: f64,
    /// Of all threads of this process together, the software adapter's among them.
    pub cpu: f64,
}

/// What was measured of one library.
pub struct Measured {
    pub library: String,
    pub function: &'static str,
    /// With the choice and compilation of kernels.
    pub first: Sample,
    /// One a round, each the mean of `calls`.
    pub rounds: Vec<Sample>,
    pub calls: usize,
    /// Largest difference from foveal's results, as a share of the largest number among them.
    pub difference: f64,
}

/// A median with what it lies between.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(values.len() / 2), max: at(values.len().saturating_sub(1)) }
    }
}

impl Measured {
    pub fn wall(&self) -> Spread {
        Spread::of(self.rounds.iter().map(|s| s.wall))
    }

    pub fn cpu(&self) -> Spread {
        Spread::of(self.rounds.iter().map(|s| s.cpu))
    }

    /// How many times this library's seconds are those of another, round by round.
    pub fn over(&self, other: &Self, seconds: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.rounds.iter().zip(&other.rounds).map(|(a, b)| seconds(a) / seconds(b)))
    }
}

/// A row of the table, and the processor seconds a second that this process uses when nobody asks it to.
pub struct Row {
    pub op: Op,
    pub libraries: Vec<Measured>,
    pub idle: f64,
}

impl Row {
    /// Libraries whose results are not foveal's; NaN is no agreement.
    pub fn disagreeing(&self) -> impl Iterator<Item = &Measured> {
        self.libraries.iter().filter(|m| !(m.difference <= self.op.tolerance()))
    }
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(Sample, T)> {
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let out = run()?;
    Ok((Sample { wall: wall.elapsed().as_secs_f64(), cpu: cpu.elapsed().as_secs_f64() }, out))
}

/// Measures a row; no round begins that would end after `deadline`, but one always does.
pub fn row(op: Op, libraries: &[Box<dyn Library>], rounds: usize, deadline: Instant) -> Result<Row> {
    let inputs = Inputs::of(&op);
    let mut measured = Vec::new();
    let mut calls = Vec::new();
    let mut expected: Option<Vec<Vec<f32>>> = None;
    for library in libraries {
        let mut call = library.prepare(&op, &inputs)?;
        let (first, results) = timed(&mut call)?;
        eprintln!("  {}: first call {:.2} s, CPU {:.2} s", library.name(), first.wall, first.cpu);
        let results = results()?;
        let difference = expected.as_ref().map_or(Ok(0.0), |expected| difference(expected, &results))?;
        expected.get_or_insert(results);
        let (warm, _) = timed(&mut call)?;
        let repeats = ((ROUND / warm.wall).ceil() as usize).clamp(1, MOST_CALLS);
        let (library, function) = (library.name(), library.function(&op));
        measured.push(Measured { library, function, first, rounds: Vec::new(), calls: repeats, difference });
        calls.push(call);
    }
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let start = Instant::now();
        if round > 0 && start + longest > deadline {
            break;
        }
        for turn in 0..calls.len() {
            // Every other round runs backwards, so that nobody always follows the same neighbour.
            let at = if round % 2 == 0 { turn } else { calls.len() - 1 - turn };
            let n = measured[at].calls;
            let call = &mut calls[at];
            let (sum, ()) = timed(|| (0..n).try_for_each(|_| call().map(drop)))?;
            measured[at].rounds.push(Sample { wall: sum.wall / n as f64, cpu: sum.cpu / n as f64 });
        }
        longest = longest.max(start.elapsed());
    }
    let (still, ()) = timed(|| {
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    })?;
    Ok(Row { op, libraries: measured, idle: still.cpu / still.wall })
}

/// Largest difference as a share of the largest expected number, of the tensor where that is most.
fn difference(expected: &[Vec<f32>], found: &[Vec<f32>]) -> Result<f64> {
    let lengths = |tensors: &[Vec<f32>]| tensors.iter().map(Vec::len).collect::<Vec<_>>();
    if lengths(expected) != lengths(found) {
        return Err(
            format!("results of {:?} numbers, expected {:?}", lengths(found), lengths(expected)).into()
        );
    }
    let mut worst = 0.0;
    for (expected, found) in expected.iter().zip(found) {
        let largest = expected.iter().fold(0.0f64, |m, x| m.max(f64::from(x.abs())));
        let pairs = expected.iter().zip(found);
        let error = pairs.map(|(a, b)| f64::from((a - b).abs()) / largest);
        // NaN wins: a maximum would drop it.
        worst = error.fold(worst, |m: f64, e| if m.is_nan() || m >= e { m } else { e });
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_relative_to_the_largest_number_and_keeps_nan() {
        let expected = [vec![1.0, -4.0], vec![0.5]];
        assert_eq!(difference(&expected, &[vec![1.0, -3.0], vec![0.5]]).unwrap(), 0.25);
        assert!(difference(&expected, &[vec![f32::NAN, -4.0], vec![0.75]]).unwrap().is_nan());
        assert!(difference(&expected, &[vec![1.0, -4.0]]).is_err());
    }
}
