//! The temporal objective of each group of words, with `S = sums`, `s = S / tokens`, `m` the mask, `H = entropies`,
//! `on = {m > τ}`, `off = {m < τ}`:
//!
//! - `signal a = (s − min s) / (max s − min s + 1e-6)` over all frames;
//! - `r = cov(a, m) / (σ_a σ_m)`, `σ² = variance + 1e-6`, over the frames that are not skipped;
//! - `positive = −mean_on S`, `negative = mean_off S`; as a log ratio `−ln(mean_on s + 1e-8)`, `ln(mean_off s + 1e-8)`;
//! - `entropy = mean_on H`;
//! - `flatness = variance(s) / (mean s + 1e-8)²` over `r`'s frames, where the mask is one value above τ, else 0;
//! - `total = −w_r r + w_m (positive + negative) + w_e entropy + w_f flatness`.
//!
//! A term over no frame is 0, so an empty mask leaves only the negative magnitude. A constant mask has `r = 0` and no
//! gradient of it. [`Normalisation::Paper`] divides magnitude and entropy by the number of frames and counts `m = τ` as
//! off. Frames that tie for minimum or maximum share its gradient equally.
//!
//! Shapes: `sums`, `entropies`, `masks`, `signal`, `dsums`, `dentropies (groups, frames)`;
//! `terms (groups, 6)` = r, positive, negative, entropy, flatness, total; all f32. Memory written: terms, signal, and the
//! gradient of the mean total over the groups by sums and entropies.
//!
//! Errors: sizes of zero or a product above 2³², a weight or τ that is not finite.
//!
//! Source: TempoControl as released (Shira-Schiber/TempoControl@701dbd2, wan/text2video.py), whose comments number its
//! equations 2 to 8; log ratio and flatness are ours.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{Magnitude, Normalisation, TemporalObjective, TemporalWeights, check_sizes};
use crate::gpu::Caps;
use crate::kernels::{CASCADE, GRID, Kernel, Launch, NAN, Slot, Variant, Work, grid, lanes};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};
#[cfg(feature = "verify")]
use group::GroupLoss;
use std::fmt;

const TERMS: usize = 6;

/// Sizes and options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemporalLoss {
    /// Groups of words.
    pub groups: usize,
    /// Latent frames.
    pub frames: usize,
    /// Tokens of a frame.
    pub tokens: usize,
    /// The objective.
    pub objective: TemporalObjective,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    groups: u32,
    frames: u32,
    tokens: f32,
    first: u32,
    count: u32,
    tau: f32,
    correlation: f32,
    magnitude: f32,
    entropy: f32,
    flatness: f32,
}

impl fmt::Display for TemporalLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, frames, tokens, objective: TemporalObjective { normalisation, magnitude, .. } } =
            self;
        write!(
            f,
            "temporal_loss(groups={groups},frames={frames},tokens={tokens},{normalisation:?},{magnitude:?})"
        )
    }
}

impl TemporalLoss {
    /// First frame and number of frames of the correlation.
    fn window(&self) -> (usize, usize) {
        let TemporalObjective { skip_first, skip_last, .. } = self.objective;
        let count = self.frames.saturating_sub(skip_first).saturating_sub(skip_last);
        (if count == 0 { 0 } else { skip_first }, count)
    }
}

impl Kernel for TemporalLoss {
    const STEM: &'static str = "temporal_loss";
    const SHADER: Source = wgsl!("temporal/temporal_loss.wgsl");

    fn check(&self) -> Result<()> {
        check_sizes(Self::STEM, self.groups, self.frames, self.tokens)?;
        let TemporalWeights { correlation, magnitude, entropy, flatness } = self.objective.weights;
        let numbers = [correlation, magnitude, entropy, flatness, self.objective.tau];
        if numbers.iter().any(|v| !v.is_finite()) {
            let reason = format!(
                "weights of correlation {correlation}, magnitude {magnitude}, entropy {entropy} and flatness {flatness}, and \
                 the threshold tau {}, have to be finite",
                self.objective.tau
            );
            return Err(Error::problem(Self::STEM, reason));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let table = [self.groups, self.frames];
        vec![
            Slot::read("sums", table).f32(),
            Slot::read("entropies", table).f32(),
            Slot::read("masks", table).f32(),
            Slot::write("terms", [self.groups, TERMS]).f32(),
            Slot::write("signal", table).f32(),
            Slot::write("dsums", table).f32(),
            Slot::write("dentropies", table).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let paper = self.objective.normalisation == Normalisation::Paper;
        let log_ratio = self.objective.magnitude == Magnitude::LogRatio;
        let plain = Variant::new(Dtype::F32, lanes(caps)).module(GRID).module(NAN).module(CASCADE);
        vec![plain.flag("PAPER", paper).flag("LOG_RATIO", log_ratio)]
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let TemporalWeights { correlation, magnitude, entropy, flatness } = self.objective.weights;
        let (first, count) = self.window();
        let params = Params {
            groups: self.groups as u32,
            frames: self.frames as u32,
            tokens: self.tokens as f32,
            first: first as u32,
            count: count as u32,
            tau: self.objective.tau,
            correlation,
            magnitude,
            entropy,
            flatness,
        };
        Launch::new(&params, grid(self.groups.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        let rows = (self.groups * self.frames) as f64;
        Work { flops: 100.0 * rows, bytes: 4.0 * (6.0 * rows + (self.groups * TERMS) as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for TemporalLoss {
    const FAMILY: &'static str = "temporal";
    const SUMMARY: &'static str = "how attention over time follows a mask: terms and their gradient";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let groups = self.all_groups(inputs);
        let table = |of: fn(&GroupLoss) -> &[f64], scale: f64, columns: usize| Array {
            shape: [self.groups, columns].into(),
            data: groups.iter().flat_map(|g| of(g).iter().map(move |v| v * scale)).collect(),
        };
        let share = 1.0 / self.groups as f64;
        vec![
            table(|g| &g.terms, 1.0, TERMS),
            table(|g| &g.signal, 1.0, self.frames),
            table(|g| &g.dsums, share, self.frames),
            table(|g| &g.dentropies, share, self.frames),
        ]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let table = [self.groups, self.frames];
        let tokens = self.tokens as f64;
        let sums = inputs::uniform(rng, table, 0.05 * tokens, 0.5 * tokens);
        let entropies = inputs::uniform(rng, table, 0.0, 7.0);
        let fractions = inputs::uniform(rng, table, 0.0, 1.0);
        let tau = f64::from(self.objective.tau);
        let masks = Array::from_fn(table, |i| {
            let (group, frame) = (i / self.frames, i % self.frames);
            match (group + self.frames) % 5 {
                // Off then on, always on, never on, a curve that meets τ exactly, always on below 1.
                0 => f64::from(frame >= self.frames / 2),
                1 => 1.0,
                2 => 0.0,
                3 => {
                    if frame % 4 == 1 {
                        tau
                    } else {
                        fractions.data[i]
                    }
                }
                _ => 0.85,
            }
        });
        vec![sums, entropies, masks]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        let reason = "f32 sums over the frames; differences of values of order one";
        // The smallest spread of a signal in the cases is about a tenth of its level.
        let tokens = self.tokens as f64;
        let level = match self.objective.magnitude {
            Magnitude::Sum => 1.0,
            Magnitude::LogRatio => 1.0 / tokens,
        };
        vec![
            Tolerance { atol: 1e-5, rtol: 1e-5, reason },
            Tolerance { atol: 2e-6, rtol: 1e-5, reason },
            Tolerance { atol: 2e-5 / tokens + 1e-6 * level, rtol: 1e-5, reason },
            Tolerance { atol: 0.0, rtol: 1e-6, reason: "one f32 division" },
        ]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let problem = *self;
        Some(Gradient::of("temporal_loss", vec![(2, 0), (3, 1)], move |inputs| {
            let groups = problem.all_groups(inputs);
            groups.iter().map(|g| g.terms[TERMS - 1]).sum::<f64>() / problem.groups as f64
        }))
    }

    fn cases() -> Vec<Self> {
        let (released, paper) = (TemporalObjective::released(), TemporalObjective::paper());
        let free = TemporalObjective::scale_free();
        let case = |groups, frames, tokens, objective| Self { groups, frames, tokens, objective };
        vec![
            case(1, 1, 1, released),
            case(1, 2, 3, free),
            case(1, 5, 12, released),
            case(5, 21, 1560, released),
            case(70, 9, 35, released),
            case(5, 13, 35, paper),
            case(5, 21, 35, free),
            case(5, 7, 12, TemporalObjective { normalisation: Normalisation::Paper, ..free }),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |objective| Self { groups: 2, frames: 21, tokens: 1560, objective };
        vec![
            ("wan-1.3b 480p, 2 groups", case(TemporalObjective::released())),
            ("wan-1.3b 480p, 2 groups, scale-free", case(TemporalObjective::scale_free())),
        ]
    }
}

/// The formula of one group and its gradient.
#[cfg(feature = "verify")]
mod group {
    use super::super::verified::*;
    use super::{Magnitude, Normalisation, TERMS, TemporalLoss, TemporalObjective};

    const EPS_RANGE: f64 = 1e-6;
    const EPS_VARIANCE: f64 = 1e-6;
    const EPS_SIGNAL: f64 = 1e-8;

    /// One group's terms, signal and gradient by sums and entropies.
    pub(super) struct GroupLoss {
        pub(super) terms: [f64; TERMS],
        pub(super) signal: Vec<f64>,
        pub(super) dsums: Vec<f64>,
        pub(super) dentropies: Vec<f64>,
    }

    fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
        let n = values.clone().count();
        if n == 0 { 0.0 } else { values.sum::<f64>() / n as f64 }
    }

    impl TemporalLoss {
        /// A side of the magnitude: its value and its derivative by one of the sums.
        fn side(&self, sums: &[f64], members: &[bool]) -> (f64, f64) {
            let n = members.iter().filter(|&&m| m).count();
            if n == 0 {
                return (0.0, 0.0);
            }
            let n = if self.objective.normalisation == Normalisation::Paper { self.frames } else { n } as f64;
            let sum: f64 = sums.iter().zip(members).filter(|(_, m)| **m).map(|(s, _)| s).sum();
            match self.objective.magnitude {
                Magnitude::Sum => (sum / n, 1.0 / n),
                Magnitude::LogRatio => {
                    let n = n * self.tokens as f64;
                    ((sum / n + EPS_SIGNAL).ln(), 1.0 / (sum + EPS_SIGNAL * n))
                }
            }
        }

        /// The formula for one group.
        fn group(&self, sums: &[f64], entropies: &[f64], mask: &[f64]) -> GroupLoss {
            let TemporalObjective { weights, tau, normalisation, .. } = self.objective;
            let [w_r, w_m, w_e, w_f] =
                [weights.correlation, weights.magnitude, weights.entropy, weights.flatness].map(f64::from);
            let tau = f64::from(tau);
            let (frames, tokens) = (self.frames, self.tokens as f64);
            let (first, count) = self.window();
            let window = first..first + count;
            let n = count as f64;

            let s: Vec<f64> = sums.iter().map(|s| s / tokens).collect();
            let low = smallest(s.iter().copied());
            let high = largest(s.iter().copied());
            let width = high - low + EPS_RANGE;
            let a: Vec<f64> = s.iter().map(|s| (s - low) / width).collect();

            let (mean_a, mean_m) =
                (mean(window.clone().map(|t| a[t])), mean(window.clone().map(|t| mask[t])));
            let covariance = mean(window.clone().map(|t| (a[t] - mean_a) * (mask[t] - mean_m)));
            let sigma_a = (mean(window.clone().map(|t| (a[t] - mean_a).powi(2))) + EPS_VARIANCE).sqrt();
            let sigma_m = (mean(window.clone().map(|t| (mask[t] - mean_m).powi(2))) + EPS_VARIANCE).sqrt();
            let r = covariance / (sigma_a * sigma_m);

            let on: Vec<bool> = mask.iter().map(|&m| m > tau).collect();
            let paper = normalisation == Normalisation::Paper;
            let off: Vec<bool> = mask.iter().map(|&m| if paper { m <= tau } else { m < tau }).collect();
            let (positive, by_on) = self.side(sums, &on);
            let (negative, by_off) = self.side(sums, &off);

            let on_count = on.iter().filter(|&&m| m).count();
            let on_divisor = if paper { frames } else { on_count.max(1) } as f64;
            let entropy =
                entropies.iter().zip(&on).filter(|(_, on)| **on).map(|(h, _)| h).sum::<f64>() / on_divisor;

            let is_static = on[0] && mask.iter().all(|&m| m == mask[0]);
            let scale = mean(window.clone().map(|t| s[t])) + EPS_SIGNAL;
            let deviation = |t: usize| (s[t] - (scale - EPS_SIGNAL)) / scale;
            let flatness = if is_static { mean(window.clone().map(|t| deviation(t).powi(2))) } else { 0.0 };

            // By the signal, then by the mean of a frame: directly and through minimum and maximum.
            let slope = |t: usize| match window.contains(&t) {
                true => {
                    -w_r / n
                        * ((mask[t] - mean_m) / (sigma_a * sigma_m)
                            - r * (a[t] - mean_a) / (sigma_a * sigma_a))
                }
                false => 0.0,
            };
            let all: f64 = (0..frames).map(slope).sum();
            let weighted: f64 = (0..frames).map(|t| slope(t) * a[t]).sum();
            let ties = |value: f64| s.iter().filter(|&&s| s == value).count() as f64;
            let dsums = (0..frames).map(|t| {
                let mut by_mean = slope(t) / width;
                by_mean -= if s[t] == high { weighted / width / ties(high) } else { 0.0 };
                by_mean += if s[t] == low { (weighted - all) / width / ties(low) } else { 0.0 };
                if is_static && window.contains(&t) {
                    by_mean += w_f * 2.0 * (deviation(t) - flatness) / (scale * n);
                }
                by_mean / tokens - if on[t] { w_m * by_on } else { 0.0 }
                    + if off[t] { w_m * by_off } else { 0.0 }
            });
            let total = -w_r * r + w_m * (negative - positive) + w_e * entropy + w_f * flatness;
            GroupLoss {
                terms: [r, -positive, negative, entropy, flatness, total],
                dsums: dsums.collect(),
                dentropies: on.iter().map(|&on| if on { w_e / on_divisor } else { 0.0 }).collect(),
                signal: a,
            }
        }

        pub(super) fn all_groups(&self, inputs: &[Array]) -> Vec<GroupLoss> {
            let [sums, entropies, masks] = inputs else { return Vec::new() };
            let rows = |x: &Array, g: usize| x.data[g * self.frames..(g + 1) * self.frames].to_vec();
            (0..self.groups)
                .map(|g| self.group(&rows(sums, g), &rows(entropies, g), &rows(masks, g)))
                .collect()
        }
    }
}
