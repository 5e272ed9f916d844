//! Which denoising steps are guided.

use crate::pipelines::schedules::MAX_STEPS;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Shown with every refusal.
const FORMS: &str =
    "expected steps and ranges joined with commas, \"0..5\", \"0..=4\", \"1,2,4\" or \"0..3,8\", or \"none\"";

/// Denoising steps, counted from 0, after which the latent is moved. Any set, as the released code takes any list:
/// `(0..5).collect()`, `[1, 2, 4].into_iter().collect()` or, from text, `"0..3,8".parse()?`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GuidedSteps(BTreeSet<usize>);

impl GuidedSteps {
    /// The step is among them.
    pub fn contains(&self, step: usize) -> bool {
        self.0.contains(&step)
    }

    /// The steps in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// No step is guided.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that a run of so many steps has: for settings made for longer runs, which [`sample`](super::sample) refuses.
    #[must_use]
    pub fn within(&self, steps: usize) -> Self {
        self.0.range(..steps).copied().collect()
    }

    /// Refuses steps that a run of so many does not have: they would be left out in silence.
    ///
    /// # Errors
    /// [`Error::Input`] naming them.
    pub fn require_within(&self, steps: usize) -> Result<()> {
        let past: Self = self.0.range(steps..).copied().collect();
        if past.is_empty() {
            return Ok(());
        }
        // As many as are told apart at a glance: a set may have thousands of holes.
        let shown: String = past.to_string().chars().take(80).collect();
        let reason = format!("there are none: the run has {steps} denoising steps, counted from 0");
        Err(Error::input(format!("guided steps {shown}"), reason))
    }
}

impl FromIterator<usize> for GuidedSteps {
    fn from_iter<I: IntoIterator<Item = usize>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

/// As [`FromStr`] reads it: `0..5`, `1,2,4`, `0..3,8`, `none`.
impl fmt::Display for GuidedSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for step in self.iter() {
            match runs.last_mut().filter(|run| run.end == step) {
                Some(run) => run.end = step.saturating_add(1),
                None => runs.push(step..step.saturating_add(1)),
            }
        }
        if runs.is_empty() {
            return f.write_str("none");
        }
        for (i, run) in runs.into_iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match run.end - run.start {
                0 | 1 => write!(f, "{comma}{}", run.start)?,
                2 => write!(f, "{comma}{},{}", run.start, run.start + 1)?,
                _ => write!(f, "{comma}{}..{}", run.start, run.end)?,
            }
        }
        Ok(())
    }
}

/// As it is written: settings are shown and compared by it.
impl fmt::Debug for GuidedSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GuidedSteps {
    type Err = Error;

    /// Steps and ranges joined with commas: `0..5`, `0..=4`, `..5`, `1,2,4`, `0..3,8`; `none` for no step.
    ///
    /// # Errors
    /// [`Error::Input`] with the offending part, where a range is empty or has no end, and past the last step that any
    /// schedule has.
    fn from_str(text: &str) -> Result<Self> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let mut steps = BTreeSet::new();
        for part in text.split(',') {
            steps.extend(span(text, part.trim())?);
        }
        Ok(Self(steps))
    }
}

fn refuse(text: &str, part: &str, reason: &str) -> Error {
    let shown = |text: &str| text.chars().take(80).collect::<String>();
    Error::input(format!("guided steps \"{}\"", shown(text)), format!("`{}` {reason}; {FORMS}", shown(part)))
}

/// One step or one range.
fn span(text: &str, part: &str) -> Result<Range<usize>> {
    let number = |number: &str| -> Result<usize> {
        number.trim().parse().map_err(|_| refuse(text, part, "is neither a step nor a range"))
    };
    let (from, to) = match part.split_once("..") {
        None => {
            let step = number(part)?;
            (step, step.saturating_add(1))
        }
        Some((_, to)) if to.trim().is_empty() => {
            return Err(refuse(
                text,
                part,
                "has no end, and a set of steps does not know how many there are",
            ));
        }
        Some((from, to)) => {
            let from = if from.trim().is_empty() { 0 } else { number(from)? };
            match to.strip_prefix('=') {
                Some(last) => (from, number(last)?.saturating_add(1)),
                None => (from, number(to)?),
            }
        }
    };
    if from >= to {
        return Err(refuse(text, part, "is empty"));
    }
    if to > MAX_STEPS {
        return Err(refuse(text, part, &format!("is past {MAX_STEPS} steps, the most of a schedule")));
    }
    Ok(from..to)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn set(steps: &[usize]) -> GuidedSteps {
        steps.iter().copied().collect()
    }

    #[test]
    fn steps_and_ranges_are_read_and_written() {
        for (text, steps, written) in [
            ("0..5", &[0, 1, 2, 3, 4][..], "0..5"),
            ("..5", &[0, 1, 2, 3, 4], "0..5"),
            ("0..=4", &[0, 1, 2, 3, 4], "0..5"),
            ("1,2,4", &[1, 2, 4], "1,2,4"),
            (" 8, 0 .. 3 ", &[0, 1, 2, 8], "0..3,8"),
            ("4,1,1,0..2", &[0, 1, 4], "0,1,4"),
            ("3,5,4", &[3, 4, 5], "3..6"),
            ("999", &[999], "999"),
            ("none", &[], "none"),
        ] {
            let found: GuidedSteps = text.parse().unwrap();
            assert_eq!(found, set(steps), "{text}");
            assert_eq!((found.to_string(), format!("{found:?}")), (written.into(), written.into()), "{text}");
            assert_eq!(written.parse::<GuidedSteps>().unwrap(), found);
        }
        assert_eq!((0..3).collect::<GuidedSteps>(), set(&[0, 1, 2]));
    }

    #[test]
    fn what_is_no_set_of_steps_is_refused_with_the_part() {
        for (text, named) in [
            ("", "`` is neither"),
            ("1,,2", "`` is neither"),
            ("1,", "`` is neither"),
            ("one", "`one` is neither"),
            ("-1", "`-1` is neither"),
            ("1.5", "`1.5` is neither"),
            ("0..2..4", "`0..2..4` is neither"),
            ("1,3..", "`3..` has no end"),
            ("..", "`..` has no end"),
            ("5..5", "`5..5` is empty"),
            ("1,5..3", "`5..3` is empty"),
            ("..0", "`..0` is empty"),
            ("1000", "`1000` is past 1000 steps"),
            ("0..18446744073709551615", "is past 1000 steps"),
            ("0..=1000", "is past 1000 steps"),
            ("99999999999999999999", "is neither"),
        ] {
            let error = text.parse::<GuidedSteps>().unwrap_err();
            assert!(matches!(error, Error::Input { .. }), "{error:?}");
            assert!(error.to_string().contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn steps_that_a_run_does_not_have_are_named() {
        let steps = set(&[1, 2, 7, 9, 10, 11]);
        steps.require_within(12).unwrap();
        GuidedSteps::default().require_within(0).unwrap();
        let text = steps.require_within(8).unwrap_err().to_string();
        assert!(text.contains("guided steps 9..12: there are none: the run has 8 denoising steps"), "{text}");
        assert_eq!(steps.within(8), set(&[1, 2, 7]));
        let holes: GuidedSteps = (0..10_000).step_by(2).chain([usize::MAX]).collect();
        assert!(holes.require_within(1).unwrap_err().to_string().len() < 300);
        assert!(holes.to_string().ends_with(&usize::MAX.to_string()));
    }
}
