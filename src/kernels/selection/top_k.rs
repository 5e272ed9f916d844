//! `ids`: of each group the `k` largest scores' ids, ascending; of equal scores those of lower ids.
//!
//! Shapes: `scores (groups, n)` f32; `quotas (groups, 2)` u32: `k`, of which more than `n` is `n`, and the place in `ids` of the
//! group's first; `ids (of)` u32, of which the rest stays as it is. The id of a score is its place among all, from `first_id` on.
//! Memory written: `ids`.
//!
//! What is no number ranks below −∞, both zeros are equal. Counts and ids are integers: the result does not depend on the
//! adapter.
//!
//! Errors: sizes of zero, more than 2²⁴ scores in a group, ids of 2³² and more.

use super::{check_sizes, wide};
use crate::gpu::Caps;
#[cfg(feature = "verify")]
use crate::kernels::verified::*;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, grid, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
#[cfg(feature = "verify")]
use std::cmp::Ordering;
use std::fmt;

/// Sizes of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK {
    /// Groups that are chosen from by themselves.
    pub groups: usize,
    /// Scores of each.
    pub n: usize,
    /// Elements of `ids`.
    pub of: usize,
    /// Id of the first score.
    pub first_id: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    groups: u32,
    n: u32,
    size: u32,
    first_id: u32,
}

impl fmt::Display for TopK {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, n, of, first_id } = self;
        write!(f, "top_k(groups={groups},n={n},of={of},first_id={first_id})")
    }
}

impl Kernel for TopK {
    const STEM: &'static str = "top_k";
    const SHADER: Source = wgsl!("selection/top_k.wgsl");

    fn check(&self) -> Result<()> {
        check_sizes(Self::STEM, self.groups, self.n)?;
        let ids = (self.groups * self.n).checked_add(self.first_id);
        if self.of == 0 || [Some(self.of), ids].iter().any(|n| n.is_none_or(|n| u32::try_from(n).is_err())) {
            return Err(Error::problem(Self::STEM, format!("{self}: ids are 1.., all below 2^32")));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![
            Slot::read("scores", [self.groups, self.n]).f32(),
            Slot::read("quotas", [self.groups, 2]).u32(),
            Slot::update("ids", [self.of]).u32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let variant = Variant::new(Dtype::F32, wide(caps))
            .module(GRID)
            .module(wgsl!("selection/order_key.wgsl"))
            .module(wgsl!("selection/sum_before.wgsl"));
        vec![variant]
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        let Self { groups, n, of, first_id } = *self;
        let params =
            Params { groups: groups as u32, n: n as u32, size: of as u32, first_id: first_id as u32 };
        Launch::new(&params, grid(groups, caps))
    }

    fn work(&self) -> Work {
        // Four passes for the digits, two where ids are written.
        let scores = (self.groups * self.n) as f64;
        Work { flops: 0.0, bytes: 4.0 * (6.0 * scores + self.of as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for TopK {
    const FAMILY: &'static str = "selection";
    const SUMMARY: &'static str = "ids of the largest scores of each group, ascending";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [scores, quotas, ids] = inputs else { return Vec::new() };
        let mut ids = ids.clone();
        for (group, scores) in scores.data.chunks(self.n).enumerate() {
            let (k, at) = (quotas.data[2 * group] as usize, quotas.data[2 * group + 1] as usize);
            let mut order: Vec<usize> = (0..self.n).collect();
            let rank = |v: f64| if v.is_nan() { (false, 0.0) } else { (true, v) };
            // A stable sort: equals stay in their order.
            order.sort_by(|&a, &b| rank(scores[b]).partial_cmp(&rank(scores[a])).unwrap_or(Ordering::Equal));
            let mut kept: Vec<usize> = order.into_iter().take(k).collect();
            kept.sort_unstable();
            for (place, i) in kept.into_iter().enumerate() {
                if let Some(id) = ids.data.get_mut(at + place) {
                    *id = (self.first_id + group * self.n + i) as f64;
                }
            }
        }
        vec![ids]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut scores = inputs::normal(rng, [self.groups, self.n], 1.0);
        for (group, scores) in scores.data.chunks_mut(self.n).enumerate() {
            match group % 4 {
                // Probabilities: of one sign, and many alike.
                0 => scores.iter_mut().for_each(|v| *v = (v.abs() * 4.0).round() / 64.0),
                // All equal.
                1 => scores.fill(0.25),
                // Far apart, with zeros of both signs, infinities and what is no number.
                2 => {
                    scores.iter_mut().for_each(|v| *v = v.powi(9));
                    let some = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e-40];
                    scores.iter_mut().rev().zip(some).for_each(|(v, some)| *v = some);
                }
                _ => {}
            }
        }
        // None, one, a few, all, and more than there are; the last group's end lies past the ids.
        let ks = [self.n / 3, 1, self.n - self.n / 3, 0, self.n + 1, self.n];
        let mut at = 0;
        let quotas = (0..self.groups).flat_map(|group| {
            let k = ks[group % ks.len()];
            let place = at;
            at += k.min(self.n);
            [k as f64, place as f64]
        });
        let quotas = Array { shape: [self.groups, 2].into(), data: quotas.collect() };
        let ids = inputs::indices(rng, [self.of], 1000);
        vec![scores, quotas, ids]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance { atol: 0.0, rtol: 0.0, reason: "integers" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |groups, n, of, first_id| Self { groups, n, of, first_id };
        vec![
            case(1, 1, 1, 0),
            case(1, 60, 77, 7),
            case(5, 15, 40, 7),
            case(6, 257, 700, 0),
            // More than all invocations take in a step.
            case(3, 4099, 9000, 100),
            // Ids that do not hold all that is asked for.
            case(4, 100, 60, 0),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |groups, n| Self { groups, n, of: groups * n + 120, first_id: 15 };
        vec![("qwen2.5-vl 5440 video tokens", case(1, 5440)), ("qwen2.5-vl 32 groups of 170", case(32, 170))]
    }
}

/// Writes into `ids (of)` u32, from `place` on, the ids of the `quotas[g]` largest of `scores (groups, n)` f32, group after group
/// and ascending; ids count from `first_id` on. What a group has fewer than its quota is left out, so the number of ids written
/// is the sum of `min(quota, n)`; returns that. The rest of `ids` stays as it is.
///
/// # Errors
/// [`Error::Problem`] for another number of quotas than groups, ids that do not hold all, sizes of zero, more than 2²⁴ scores in
/// a group; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn top_k(
    scores: &Tensor,
    quotas: &[usize],
    first_id: usize,
    ids: &Tensor,
    place: usize,
) -> Result<usize> {
    let refuse = |reason: String| Err(Error::problem(TopK::STEM, reason));
    let &[groups, n] = scores.dims() else {
        return refuse(format!("scores {} are (groups, n)", scores.shape()));
    };
    if quotas.len() != groups {
        return refuse(format!("{} quotas for {groups} groups", quotas.len()));
    }
    let kernel = TopK { groups, n, of: ids.len(), first_id };
    kernel.check()?;
    let mut end = place;
    let mut table = Vec::with_capacity(2 * groups);
    for quota in quotas {
        let k = (*quota).min(n);
        table.extend([k as u32, u32::try_from(end).unwrap_or(u32::MAX)]);
        end = end.saturating_add(k);
    }
    if end > ids.len() {
        return refuse(format!("{} ids from {place} on do not fit {}", end - place, ids.len()));
    }
    let table = Tensor::from_u32(scores.context(), [groups, 2], &table)?;
    run(scores.context(), &kernel, &[scores, &table, ids])?;
    Ok(end - place)
}
