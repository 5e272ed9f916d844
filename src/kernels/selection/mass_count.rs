//! `counts`: how few of a group's largest scores sum to `share` of all of them.
//!
//! Shapes: `scores (groups, n)` f32; `counts (groups)` u32. Memory written: `counts`. What is negative or no number counts as 0;
//! a group without any score above 0 needs none, and the whole is all that is above 0. Sums are taken in f32: where one score more
//! or less lies within their rounding of the share, the count may differ by it between a CPU and a GPU, whose workgroups are wider.
//!
//! Errors: sizes of zero, more than 2²⁴ scores in a group, a share outside 0 to 1.

use super::{check_sizes, wide};
use crate::gpu::Caps;
#[cfg(feature = "verify")]
use crate::kernels::verified::*;
use crate::kernels::{CASCADE, GRID, Kernel, Launch, NAN, REDUCE, Slot, Variant, Work, grid, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes and the share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MassCount {
    /// Groups that are counted by themselves.
    pub groups: usize,
    /// Scores of each.
    pub n: usize,
    /// Share of the sum, 0 to 1.
    pub share: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    groups: u32,
    n: u32,
    share: f32,
}

impl fmt::Display for MassCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, n, share } = self;
        write!(f, "mass_count(groups={groups},n={n},share={share})")
    }
}

impl Kernel for MassCount {
    const STEM: &'static str = "mass_count";
    const SHADER: Source = wgsl!("selection/mass_count.wgsl");

    fn check(&self) -> Result<()> {
        check_sizes(Self::STEM, self.groups, self.n)?;
        if !(0.0..=1.0).contains(&self.share) {
            return Err(Error::problem(Self::STEM, format!("share {}: 0 to 1", self.share)));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("scores", [self.groups, self.n]).f32(), Slot::write("counts", [self.groups]).u32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let variant = Variant::new(Dtype::F32, wide(caps));
        vec![[GRID, NAN, CASCADE, REDUCE].into_iter().fold(variant, Variant::module)]
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        let Self { groups, n, share } = *self;
        Launch::new(&Params { groups: groups as u32, n: n as u32, share }, grid(groups, caps))
    }

    fn work(&self) -> Work {
        // A pass a bit, three besides.
        let read = 34.0 * (self.groups * self.n) as f64;
        Work { flops: 2.0 * read, bytes: 4.0 * (read + self.groups as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for MassCount {
    const FAMILY: &'static str = "selection";
    const SUMMARY: &'static str = "how few of the largest scores make a share of their sum";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [scores] = inputs else { return Vec::new() };
        let count = |scores: &[f64]| {
            let mut mass: Vec<f64> = scores.iter().map(|v| v.max(0.0)).collect();
            mass.sort_by(|a, b| b.total_cmp(a));
            if self.share >= 1.0 {
                return mass.iter().filter(|v| **v > 0.0).count() as f64;
            }
            let goal = f64::from(self.share) * mass.iter().sum::<f64>();
            let mut sum = 0.0;
            let needed = mass.iter().take_while(|v| {
                let more = sum < goal;
                sum += **v;
                more
            });
            needed.count() as f64
        };
        vec![Array { shape: [self.groups].into(), data: scores.data.chunks(self.n).map(count).collect() }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut scores = inputs::uniform(rng, [self.groups, self.n], 0.0, 1.0);
        for (group, scores) in scores.data.chunks_mut(self.n).enumerate() {
            match group % 4 {
                // A few that matter, as in a map.
                0 => scores.iter_mut().for_each(|v| *v = v.powi(20)),
                // Nothing at all.
                1 => scores.fill(0.0),
                // All equal, beside what counts as 0.
                2 => {
                    scores.fill(0.125);
                    scores.iter_mut().skip(1).zip([f64::NAN, -3.0, -0.0]).for_each(|(v, none)| *v = none);
                }
                _ => {}
            }
        }
        vec![scores]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance { atol: 0.0, rtol: 0.0, reason: "integers; no sum lies near the share" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |groups, n, share| Self { groups, n, share };
        vec![
            case(1, 1, 0.5),
            case(4, 15, 0.9),
            case(4, 60, 0.0),
            case(4, 257, 0.61),
            case(5, 1000, 0.95),
            case(3, 31, 1.0),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("qwen2.5-vl 5440 video tokens", Self { groups: 1, n: 5440, share: 0.9 })]
    }
}

/// How few of the largest of each group of `scores (groups, n)` f32 sum to `share` of the group: `(groups)` u32.
///
/// # Errors
/// [`Error::Problem`] for a share outside 0 to 1, sizes of zero, more than 2²⁴ scores in a group; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn mass_count(scores: &Tensor, share: f32) -> Result<Tensor> {
    let &[groups, n] = scores.dims() else {
        return Err(Error::problem(MassCount::STEM, format!("scores {} are (groups, n)", scores.shape())));
    };
    let counts = Tensor::empty(scores.context(), [groups], Dtype::U32)?;
    run(scores.context(), &MassCount { groups, n, share }, &[scores, &counts])?;
    Ok(counts)
}
