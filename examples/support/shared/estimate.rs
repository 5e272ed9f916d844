//! How long the rest of a run takes, by what its steps have cost so far.
//!
//! A guided step costs several plain ones, and the first step of each kind compiles kernels too. So the time left is added up
//! over the steps that are left, each at what steps of its kind have cost, and not taken from the mean of all steps.

use foveal::pipelines::text_to_video::ClipRequest;
use std::collections::BTreeMap;

/// Assumed cost of a reading of the attention, in forward passes.
const READ: f64 = 1.0;
/// Assumed cost of an update: a forward pass and a gradient, which counts as three.
const UPDATE: f64 = 4.0;

/// What a denoising step does. Steps of one kind are taken to cost alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// Forward passes of the step itself: two, or one where no negative prompt takes part.
    passes: u8,
    after: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum After {
    Nothing,
    /// The attention is read.
    Reading,
    /// At most so many updates.
    Updates(usize),
}

impl Kind {
    /// Of each step of a clip, in order.
    pub(crate) fn all(request: &ClipRequest) -> Vec<Self> {
        let passes = if request.guidance_scale == 1.0 { 1 } else { 2 };
        let after = |step: usize| match &request.guidance {
            Some(g) if g.guides(step, request.steps) && g.updates > 0 => After::Updates(g.updates),
            Some(g) if g.guides(step, request.steps) || g.unused_work => After::Reading,
            _ => After::Nothing,
        };
        (0..request.steps).map(|step| Self { passes, after: after(step) }).collect()
    }

    /// Its assumed cost in forward passes.
    fn units(self) -> f64 {
        let more = match self.after {
            After::Nothing => 0.0,
            After::Reading => READ,
            After::Updates(updates) => UPDATE * updates as f64,
        };
        f64::from(self.passes) + more
    }

    /// Share of it that is over once it has stepped, after so many updates.
    pub(crate) fn share(self, read: bool, updates: usize) -> f64 {
        let done = match updates {
            0 => f64::from(self.passes) + if read { READ } else { 0.0 },
            _ => f64::from(self.passes) + UPDATE * updates as f64,
        };
        (done / self.units()).min(1.0)
    }
}

/// What is left of a run of any number of clips.
#[derive(Debug, Default)]
pub(crate) struct Estimate {
    steps: Vec<Kind>,
    done: usize,
    /// Of the steps so far.
    spent: BTreeMap<Kind, Spent>,
}

/// Seconds of the steps of a kind.
#[derive(Debug)]
struct Spent {
    /// Of the first, which waited for compilers too.
    first: f64,
    /// Of the others together.
    later: f64,
    count: u32,
}

impl Estimate {
    /// Of these steps, in order.
    pub(crate) fn new(steps: Vec<Kind>) -> Self {
        Self { steps, ..Self::default() }
    }

    /// The step at hand; none after the last one.
    pub(crate) fn at_hand(&self) -> Option<Kind> {
        self.steps.get(self.done).copied()
    }

    /// The step at hand is over, and took so many seconds.
    pub(crate) fn step(&mut self, seconds: f64) {
        if let Some(kind) = self.at_hand() {
            self.spent
                .entry(kind)
                .and_modify(|spent| {
                    spent.later += seconds;
                    spent.count += 1;
                })
                .or_insert(Spent { first: seconds, later: 0.0, count: 0 });
            self.done += 1;
        }
    }

    /// Seconds that are left, so many seconds into the step at hand, of which `share` (0 to 1) is over; none as long as all
    /// that is known is steps that waited for compilers.
    pub(crate) fn left(&self, into: f64, share: f64) -> Option<f64> {
        let unit = self.seconds_of_a_unit()?;
        let cost = |kind: Kind| self.typical(kind, unit);
        let at_hand = self.at_hand().map_or(0.0, |kind| {
            let by_kind = (cost(kind) - into).max(0.0);
            // A step that takes longer than its like goes on at its own pace.
            let by_share = if share > 0.0 { into * (1.0 - share) / share } else { by_kind };
            if self.spent.contains_key(&kind) && by_kind > 0.0 { by_kind } else { by_share }
        });
        let later: f64 = self.steps.iter().skip(self.done + 1).map(|kind| cost(*kind)).sum();
        Some(at_hand + later)
    }

    /// Seconds of a forward pass, by the steps that were not the first of their kind.
    fn seconds_of_a_unit(&self) -> Option<f64> {
        let (mut seconds, mut units) = (0.0, 0.0);
        for (kind, spent) in &self.spent {
            seconds += spent.later;
            units += kind.units() * f64::from(spent.count);
        }
        (units > 0.0).then(|| seconds / units)
    }

    /// What a step of a kind is expected to take.
    fn typical(&self, kind: Kind, unit: f64) -> f64 {
        let assumed = unit * kind.units();
        match self.spent.get(&kind) {
            None => assumed,
            // The first also waited for compilers, but how its kind compares with others is only assumed.
            Some(spent) if spent.count == 0 => spent.first.min(2.0 * assumed),
            Some(spent) => spent.later / f64::from(spent.count),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const PLAIN: Kind = Kind { passes: 2, after: After::Nothing };
    const READING: Kind = Kind { passes: 2, after: After::Reading };
    const GUIDED: Kind = Kind { passes: 2, after: After::Updates(4) };

    /// A run whose steps cost what a table says, the first of each kind some compiling on top: the largest factor by which
    /// the estimate is off, either way, at the beginnings of steps from the one numbered `from` on.
    fn worst(steps: &[Kind], cost: impl Fn(Kind, usize) -> f64, from: usize) -> f64 {
        let mut estimate = Estimate::new(steps.to_vec());
        let costs: Vec<f64> = steps.iter().enumerate().map(|(at, kind)| cost(*kind, at)).collect();
        let mut worst = 1.0f64;
        for (at, seconds) in costs.iter().enumerate() {
            if at >= from {
                let (left, truth) = (estimate.left(0.0, 0.0).unwrap(), costs[at..].iter().sum::<f64>());
                worst = worst.max(left / truth).max(truth / left);
            }
            estimate.step(*seconds);
        }
        assert_eq!(estimate.left(0.0, 0.0), Some(0.0));
        worst
    }

    /// The demonstration's steps: a clip that is only read, then one that is guided at its first five steps.
    fn demonstration() -> Vec<Kind> {
        let clip = |first: Kind| (0..20).map(move |step| if step < 5 { first } else { PLAIN });
        clip(READING).chain(clip(GUIDED)).collect()
    }

    #[test]
    fn guided_steps_are_told_from_plain_ones() {
        let steps = demonstration();
        let first = |at: usize| steps.iter().position(|kind| *kind == steps[at]) == Some(at);
        // Plain, read, guided, and what compilers add to the first of each.
        for table in
            [[1.0, 1.5, 9.0, 0.0], [1.0, 1.4, 7.0, 20.0], [0.2, 0.3, 4.0, 5.0], [3.0, 6.0, 20.0, 60.0]]
        {
            let [plain, read, guided, compiling] = table;
            let cost = |kind: Kind, at: usize| {
                let own = match kind.after {
                    After::Nothing => plain,
                    After::Reading => read,
                    After::Updates(_) => guided,
                };
                own + if first(at) { compiling } else { 0.0 }
            };
            // From the second step on within a factor of two and a half, once each kind is known within a quarter.
            assert!(worst(&steps, cost, 2) < 2.5, "{table:?}: {}", worst(&steps, cost, 2));
            assert!(worst(&steps, cost, 22) < 1.25, "{table:?}: {}", worst(&steps, cost, 22));
            // The mean of all steps so far, which this stands instead of, is several times off.
            let costs: Vec<f64> = steps.iter().enumerate().map(|(at, kind)| cost(*kind, at)).collect();
            let by_mean = costs[..25].iter().sum::<f64>() / 25.0 * 15.0;
            assert!(by_mean / costs[25..].iter().sum::<f64>() > 2.0, "{table:?}");
        }
    }

    #[test]
    fn updates_that_end_early_are_learned() {
        // Of four updates only one is made.
        let steps = [vec![PLAIN; 2], vec![GUIDED; 10], vec![PLAIN; 10]].concat();
        let cost = |kind: Kind, _: usize| if kind == GUIDED { 3.0 } else { 1.0 };
        assert!(worst(&steps, cost, 4) < 1.05, "{}", worst(&steps, cost, 4));
    }

    #[test]
    fn within_a_step_its_own_pace_counts() {
        let mut estimate = Estimate::new(vec![PLAIN, PLAIN, GUIDED, PLAIN]);
        assert_eq!(estimate.left(3.0, 0.5), None);
        estimate.step(30.0);
        assert_eq!(estimate.left(1.0, 0.5), None, "all that is known has waited for compilers");
        estimate.step(2.0);
        // A guided step is 18 units of a second each; a plain one took 2 seconds.
        assert_eq!(estimate.left(0.0, 0.0), Some(20.0));
        // Half of it took 27 seconds.
        assert_eq!(estimate.left(27.0, 0.5), Some(29.0));
        estimate.step(54.0);
        assert_eq!(estimate.left(0.0, 0.0), Some(2.0));
        assert_eq!(estimate.left(1.5, 0.0), Some(0.5));
        estimate.step(2.0);
        assert_eq!(estimate.left(0.0, 0.0), Some(0.0));
        assert_eq!((GUIDED.share(false, 0), GUIDED.share(true, 0)), (2.0 / 18.0, 3.0 / 18.0));
        assert_eq!(
            (GUIDED.share(true, 2), GUIDED.share(true, 4), PLAIN.share(false, 0)),
            (10.0 / 18.0, 1.0, 1.0)
        );
    }

    #[test]
    fn a_request_says_which_steps_are_guided() {
        use foveal::pipelines::schedules::{SigmaGrid, Solver};
        use foveal::pipelines::text_to_video::temporal_control::Guidance;
        let mut request = ClipRequest {
            prompt: String::new(),
            negative_prompt: String::new(),
            size: [1; 3],
            seed: 0,
            steps: 6,
            guidance_scale: 3.0,
            shift: 3.0,
            grid: SigmaGrid::Wan,
            solver: Solver::UniPc,
            words: Vec::new(),
            guidance: Some(Guidance { steps: [0, 2, 5].into_iter().collect(), ..Guidance::default() }),
            mask: None,
            rows_at_a_time: None,
        };
        // After the last step nothing is moved.
        assert_eq!(Kind::all(&request), [GUIDED, PLAIN, GUIDED, PLAIN, PLAIN, PLAIN]);
        request.guidance = Some(Guidance { updates: 0, unused_work: true, ..Guidance::default() });
        assert_eq!(Kind::all(&request), [READING; 6]);
        request.guidance = None;
        request.guidance_scale = 1.0;
        assert_eq!(Kind::all(&request), [Kind { passes: 1, after: After::Nothing }; 6]);
    }
}
