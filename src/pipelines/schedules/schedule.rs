//! Noise levels and timesteps of a flow-matching sampler.

use crate::{Error, Result};

/// Training timesteps of every supported model: a noise level of 1 is timestep 1000.
const TRAIN_TIMESTEPS: f64 = 1000.0;
/// Most steps a schedule may have: from there on neighbouring timesteps coincide.
pub(in crate::pipelines) const MAX_STEPS: usize = 1000;

/// How noise levels are spread. The three agree to about 1 % and not better: results of one code base
/// are reproduced with its own grid only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SigmaGrid {
    /// Wan's own scheduler (`FlowUniPCMultistepScheduler` of Wan-Video/Wan2.1): from 0.999 in `steps`
    /// equal parts towards 0, then shifted; integer timesteps.
    #[default]
    Wan,
    /// diffusers 0.42 `UniPCMultistepScheduler` with `use_flow_sigmas`: from 1 towards 1/1000, shifted,
    /// 1e-6 taken off the first; integer timesteps.
    Diffusers,
    /// diffusers 0.42 `FlowMatchEulerDiscreteScheduler`: from 1 to the shifted 1/1000 with both ends,
    /// shifted once more; fractional timesteps.
    FlowMatchEuler,
}

/// Noise levels `sigma` in `[0, 1]` and the timesteps the model is asked with.
///
/// A sample is `z = (1 - sigma) * x0 + sigma * noise`. The last level is 0, the finished sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    sigmas: Vec<f32>,
    timesteps: Vec<f32>,
}

impl Schedule {
    /// Builds a grid of `steps` steps; `shift` above 1 spends more of them at high noise
    /// (`sigma -> shift*sigma / (1 + (shift-1)*sigma)`).
    ///
    /// # Errors
    /// [`Error::Input`] when `steps` is not in 1 ..= 1000, `shift` is not in `[0.01, 100]`, or two
    /// neighbouring levels round to the same number.
    pub fn new(grid: SigmaGrid, steps: usize, shift: f64) -> Result<Self> {
        if !(1..=MAX_STEPS).contains(&steps) {
            return Err(Error::input("steps", format!("expected 1 ..= {MAX_STEPS}, found {steps}")));
        }
        // Written so that NaN is refused too.
        if !(0.01..=100.0).contains(&shift) {
            return Err(Error::input("shift", format!("expected 0.01 ..= 100, found {shift}")));
        }
        match grid {
            SigmaGrid::Wan => {
                // The released scheduler stores 1 - 1/1000 as f32 and computes on in f64. Timesteps are
                // truncated, so that the precision decides some of them.
                let levels = spread(f64::from(0.999f32), 0.0, steps, steps, shift);
                Self::with_integer_timesteps(&levels)
            }
            SigmaGrid::Diffusers => {
                let mut levels = spread(1.0, 1.0 / TRAIN_TIMESTEPS, steps, steps, shift);
                if let Some(first) = levels.first_mut().filter(|s| (**s - 1.0).abs() < 1e-6) {
                    *first -= 1e-6;
                }
                Self::with_integer_timesteps(&levels)
            }
            SigmaGrid::FlowMatchEuler => {
                // The scheduler's extremes are shifted in f32 when it is built, and the levels between
                // them are shifted again: the lowest level is shifted twice, as in the original.
                let shifted = |s: f32| f64::from(shift as f32 * s / (1.0 + (shift - 1.0) as f32 * s));
                let (from, to) =
                    (shifted(1.0) * TRAIN_TIMESTEPS, shifted(1.0 / TRAIN_TIMESTEPS as f32) * TRAIN_TIMESTEPS);
                let last = steps - 1;
                let level = |i: usize| {
                    shifted_level(
                        if i == last && last > 0 { to } else { at(from, to, last.max(1), i) }
                            / TRAIN_TIMESTEPS,
                        shift,
                    )
                };
                let sigmas: Vec<f32> = (0..steps).map(|i| level(i) as f32).collect();
                let timesteps = sigmas.iter().map(|s| s * TRAIN_TIMESTEPS as f32).collect();
                Self::checked(sigmas, timesteps)
            }
        }
    }

    /// A schedule from given noise levels, highest first, without the final 0; timesteps are
    /// `1000 * sigma`. For distilled models with a fixed list.
    ///
    /// # Errors
    /// [`Error::Input`] unless the levels fall strictly within `(0, 1]`.
    pub fn from_sigmas(sigmas: &[f32]) -> Result<Self> {
        if sigmas.len() > MAX_STEPS {
            return Err(Error::input("sigmas", format!("{} levels are more than {MAX_STEPS}", sigmas.len())));
        }
        let timesteps = sigmas.iter().map(|s| s * TRAIN_TIMESTEPS as f32).collect();
        Self::checked(sigmas.to_vec(), timesteps)
    }

    fn with_integer_timesteps(levels: &[f64]) -> Result<Self> {
        let timesteps = levels.iter().map(|s| (s * TRAIN_TIMESTEPS).trunc() as f32).collect();
        Self::checked(levels.iter().map(|s| *s as f32).collect(), timesteps)
    }

    /// Appends the final 0 and checks the order.
    fn checked(mut sigmas: Vec<f32>, timesteps: Vec<f32>) -> Result<Self> {
        let highest = sigmas.first().copied().unwrap_or(f32::NAN);
        if !(highest > 0.0 && highest <= 1.0) {
            return Err(Error::input(
                "sigmas",
                format!("the first level must lie in (0, 1], found {highest}"),
            ));
        }
        sigmas.push(0.0);
        let mut pairs = sigmas.iter().zip(sigmas.iter().skip(1));
        // `!(a > b)` rather than `a <= b`: a NaN must be found too.
        if let Some(at) =
            pairs.position(|(a, b)| !matches!(a.partial_cmp(b), Some(std::cmp::Ordering::Greater)))
        {
            return Err(Error::input(
                "sigmas",
                format!("level {} is not below level {at}: fewer steps or another shift are needed", at + 1),
            ));
        }
        Ok(Self { sigmas, timesteps })
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }

    /// Noise levels, one more than there are steps; the last is 0.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// What the model is asked with at each step; whole numbers on the grids that truncate.
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }
}

/// Element `i` of a straight line from `from` to `to` in `parts` parts, rounded as numpy's `linspace`.
fn at(from: f64, to: f64, parts: usize, i: usize) -> f64 {
    i as f64 * ((to - from) / parts as f64) + from
}

fn shifted_level(level: f64, shift: f64) -> f64 {
    shift * level / (1.0 + (shift - 1.0) * level)
}

/// The first `count` shifted points of a line in `parts` parts.
fn spread(from: f64, to: f64, parts: usize, count: usize, shift: f64) -> Vec<f64> {
    (0..count).map(|i| shifted_level(at(from, to, parts, i), shift)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn near(found: &[f32], expected: &[f64], tolerance: f64) {
        assert!(found.len() >= expected.len());
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*f) - e).abs() <= tolerance, "{i}: {f} is not {e}");
        }
    }

    #[test]
    fn wan_grid_of_fifty_steps() {
        let schedule = Schedule::new(SigmaGrid::Wan, 50, 3.0).unwrap();
        // Printed to six places by the released scheduler.
        near(
            schedule.sigmas(),
            &[0.999666, 0.992907, 0.985963, 0.978826, 0.971489, 0.963941, 0.956175, 0.948180],
            6e-7,
        );
        let timesteps: Vec<i32> = schedule.timesteps().iter().map(|t| *t as i32).collect();
        let expected = [
            999, 992, 985, 978, 971, 963, 956, 948, 939, 931, 922, 913, 904, 894, 884, 874, 864, 853, 841,
            829, 817, 805, 792, 778, 764, 749, 734, 718, 701, 684, 666, 647, 627, 606, 585, 562, 538, 512,
            486, 458, 428, 396, 363, 327, 290, 249, 206, 160, 111, 57,
        ];
        assert_eq!(timesteps, expected);
        assert_eq!((schedule.sigmas().len(), schedule.sigmas()[50]), (51, 0.0));
    }

    #[test]
    fn truncation_follows_the_stored_first_level() {
        // Without shift these levels lie just above whole timesteps; from 0.999 in f64 six of the nine
        // would fall below.
        let schedule = Schedule::new(SigmaGrid::Wan, 9, 1.0).unwrap();
        assert_eq!(schedule.timesteps(), [999.0, 888.0, 777.0, 666.0, 555.0, 444.0, 333.0, 222.0, 111.0]);
    }

    #[test]
    fn diffusers_grids() {
        // Values printed by diffusers 0.42.1.
        let unipc = Schedule::new(SigmaGrid::Diffusers, 50, 3.0).unwrap();
        near(unipc.sigmas(), &[0.9999989867210388, 0.9932500720024109, 0.9863154292106628], 1e-9);
        assert_eq!(unipc.timesteps()[..6], [999.0, 993.0, 986.0, 979.0, 971.0, 964.0]);
        assert_eq!(unipc.sigmas()[48..], [0.113_575_87, 0.060_405_39, 0.0]);

        let euler = Schedule::new(SigmaGrid::FlowMatchEuler, 5, 5.0).unwrap();
        near(
            euler.timesteps(),
            &[1000.0, 937.8885498046875, 834.7120971679688, 629.6342163085938, 24.414066314697266],
            1e-4,
        );
        near(
            euler.sigmas(),
            &[1.0, 0.9378885626792908, 0.8347120881080627, 0.6296342015266418, 0.0244140662252903, 0.0],
            1e-7,
        );
        assert_eq!(Schedule::new(SigmaGrid::FlowMatchEuler, 1, 3.0).unwrap().sigmas(), [1.0, 0.0]);
    }

    #[test]
    fn refuses_what_gives_no_schedule() {
        for (steps, shift) in [(0, 3.0), (1001, 3.0), (8, f64::NAN), (8, 0.0), (8, -1.0), (8, f64::INFINITY)]
        {
            assert!(Schedule::new(SigmaGrid::Wan, steps, shift).is_err(), "{steps} {shift}");
        }
        assert!(Schedule::from_sigmas(&[]).is_err());
        assert!(Schedule::from_sigmas(&[0.5, 0.5]).is_err());
        assert!(Schedule::from_sigmas(&[1.5]).is_err());
        assert!(Schedule::from_sigmas(&[0.5, f32::NAN]).is_err());
        let four = Schedule::from_sigmas(&[1.0, 0.9, 0.75, 0.5]).unwrap();
        assert_eq!((four.steps(), four.timesteps()[2]), (4, 750.0));
        for grid in [SigmaGrid::Wan, SigmaGrid::Diffusers, SigmaGrid::FlowMatchEuler] {
            for steps in [1, 2, 3, 50, 1000] {
                assert_eq!(Schedule::new(grid, steps, 3.0).unwrap().steps(), steps);
            }
        }
    }
}
