//! What a run can do about the curves that it is given.

use super::{Control, Guidance, StopWhen, TimedTokens};
use crate::kernels::temporal::{GroupTerms, Magnitude, Normalisation};
use crate::{Error, Result};

/// A held word is even enough at this deviation of its attention over time, as a share of its mean.
const EVEN: f32 = 0.05;
/// A held word is raised enough at so many times the attention that the run read first: at twice that the model draws it all
/// over the frame.
const RAISED: f32 = 1.4;
/// A hidden word is lowered enough at this share of the attention that the run read first.
const LOWERED: f32 = 0.1;

/// Fails where nothing that the run does would follow a word's curve, and where two groups want different things of a token.
pub(super) fn check(control: &Control) -> Result<()> {
    let Control { groups, guidance, mask } = control;
    let guidance = guidance.as_ref().filter(|g| g.updates > 0 && !g.steps.is_empty());
    let released = guidance.is_some_and(|g| g.stop_when == StopWhen::FirstGroup);
    let refuse = |reason: &str| Err(Error::input("temporal control", reason));
    if groups.iter().all(|group| group.curve.is_constant()) {
        if released && mask.is_none() {
            return refuse(
                "every word is held or hidden throughout, and the released rule follows curves that change: take the default \
                 guidance, which holds (1) and hides (0), or a mask, which hides",
            );
        }
        let ones = |group: &TimedTokens| group.curve.values().iter().all(|v| *v == 1.0);
        if guidance.is_none() && mask.is_some() && groups.iter().all(ones) {
            return refuse(
                "every word is held throughout, and a mask can only take words away: take the default guidance, which holds \
                 them",
            );
        }
    }
    for (word, group) in groups.iter().enumerate() {
        if guidance.is_some() && !released && mask.is_none() && is_level(group) {
            let level = group.curve.values().first().copied().unwrap_or_default();
            let reason = format!(
                "{level} in every frame: a gradient holds a word (1) or hides it (0) and knows no level between, a mask does"
            );
            return Err(Error::input(format!("curve of word {word}, counted from 0"), reason));
        }
    }
    // The released code takes groups as they come.
    if released && mask.is_none() {
        return Ok(());
    }
    for (word, group) in groups.iter().enumerate() {
        let others = groups.iter().enumerate().skip(word + 1).filter(|(_, other)| other.curve != group.curve);
        for (other, tokens) in others {
            if let Some(token) = tokens.tokens.iter().find(|token| group.tokens.contains(token)) {
                let reason = format!("words {word} and {other} want different things of it");
                return Err(Error::input(format!("token {token} of the prompt"), reason));
            }
        }
    }
    Ok(())
}

/// The word is wanted at one level between 0 and 1 throughout.
fn is_level(group: &TimedTokens) -> bool {
    group.curve.is_constant() && group.curve.values().first().is_some_and(|v| *v > 0.0 && *v < 1.0)
}

/// Whether a word that is wanted alike in every frame has what it wants; `None` for one whose curve varies. A level between, which
/// is left to the mask, wants nothing of the gradient.
pub(super) fn met(group: &TimedTokens, now: &GroupTerms, first: &GroupTerms, g: &Guidance) -> Option<bool> {
    let level = group.curve.values().first().filter(|_| group.curve.is_constant())?;
    // Of the attention against the first, from the term of the frames that are on or off.
    let grown = |now: f32, first: f32| match g.objective.magnitude {
        Magnitude::Sum => now / first,
        Magnitude::LogRatio => (now - first).exp(),
    };
    Some(if *level == 0.0 {
        grown(now.negative_magnitude, first.negative_magnitude) <= LOWERED
    } else if *level == 1.0 {
        now.flatness <= EVEN * EVEN || grown(-now.positive_magnitude, -first.positive_magnitude) >= RAISED
    } else {
        true
    })
}

/// The objective's curves without the held and hidden words that have what they want; `None` where there are none.
pub(super) fn without(control: &Control, g: &Guidance, met: &[bool]) -> Option<Vec<f32>> {
    let over = |(group, met): (&TimedTokens, &bool)| *met && group.curve.is_constant();
    let spared = g.stop_when == StopWhen::AllGroups && g.objective.normalisation == Normalisation::Released;
    if !spared || !control.groups.iter().zip(met).any(over) {
        return None;
    }
    let of = |(group, met): (&TimedTokens, &bool)| match over((group, met)) {
        true => vec![g.objective.tau; group.curve.frames()],
        false => group.curve.values().to_vec(),
    };
    Some(control.groups.iter().zip(met).flat_map(of).collect())
}

/// Curves as the gradient's objective takes them, one after the other. Where a mask follows a level that never changes, the
/// gradient has nothing to do: a constant τ is neither on nor off and correlates with nothing.
pub(super) fn objectives(control: &Control) -> Vec<f32> {
    let left_alone = control.guidance.as_ref().filter(|g| {
        control.mask.is_some()
            && g.stop_when == StopWhen::AllGroups
            && g.objective.normalisation == Normalisation::Released
    });
    let of = |group: &TimedTokens| match left_alone.filter(|_| is_level(group)) {
        Some(g) => vec![g.objective.tau; group.curve.frames()],
        None => group.curve.values().to_vec(),
    };
    control.groups.iter().flat_map(of).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::{GuidedSteps, TemporalMask};
    use super::*;
    use crate::pipelines::text_to_video::curve::TimingCurve;

    const ON: [f32; 3] = [1.0; 3];
    const OFF: [f32; 3] = [0.0; 3];
    const HALF: [f32; 3] = [0.5; 3];
    const LATE: [f32; 3] = [0.0, 0.0, 1.0];

    fn outcome(curves: &[[f32; 3]], guidance: Option<Guidance>, mask: bool) -> String {
        let group = |(i, curve): (usize, &[f32; 3])| TimedTokens {
            tokens: vec![2 * i, 2 * i + 1],
            curve: TimingCurve::new(curve.to_vec()).unwrap(),
        };
        let groups = curves.iter().enumerate().map(group).collect();
        let control = Control { groups, guidance, mask: mask.then(TemporalMask::default) };
        check(&control).map_or_else(|e| e.to_string(), |()| "followed".into())
    }

    #[test]
    fn a_wish_is_followed_or_refused_with_what_does() {
        let (default, released) = (Guidance::default, Guidance::released);
        for curves in [&[ON][..], &[OFF], &[LATE], &[ON, OFF], &[OFF, LATE], &[LATE, ON]] {
            assert_eq!(outcome(curves, Some(default()), false), "followed", "{curves:?}");
            assert_eq!(outcome(curves, Some(default()), true), "followed", "{curves:?}");
            // A run that only reads follows nothing and says nothing.
            let reading = Guidance { updates: 0, ..default() };
            assert_eq!(outcome(curves, Some(reading), false), "followed", "{curves:?}");
            let varies = curves.contains(&LATE);
            let found = outcome(curves, Some(released()), false);
            assert!(if varies { found == "followed" } else { found.contains("default guidance") }, "{found}");
            let held = curves.iter().all(|c| *c == ON);
            for idle in [None, Some(Guidance { updates: 0, ..default() })] {
                let found = outcome(curves, idle, true);
                assert!(
                    if held { found.contains("can only take words away") } else { found == "followed" },
                    "{found}"
                );
            }
            let none = Guidance { steps: GuidedSteps::default(), ..default() };
            assert_eq!(outcome(curves, Some(none), true) == "followed", !held, "{curves:?}");
        }
    }

    #[test]
    fn a_level_throughout_is_for_the_mask() {
        for (curves, word) in [(&[HALF][..], 0), (&[LATE, HALF], 1)] {
            let found = outcome(curves, Some(Guidance::default()), false);
            assert!(found.contains(&format!("word {word}")) && found.contains("a mask does"), "{found}");
            assert_eq!(outcome(curves, Some(Guidance::default()), true), "followed");
            assert_eq!(outcome(curves, None, true), "followed");
        }
        let groups = [HALF, LATE]
            .map(|c| TimedTokens { tokens: vec![1], curve: TimingCurve::new(c.to_vec()).unwrap() });
        let control = |guidance| Control {
            groups: groups.to_vec(),
            guidance: Some(guidance),
            mask: Some(TemporalMask::default()),
        };
        // What is neither on nor off.
        let tau = Guidance::default().objective.tau;
        assert_eq!(objectives(&control(Guidance::default())), [tau, tau, tau, 0.0, 0.0, 1.0]);
        assert_eq!(objectives(&control(Guidance::released())), [0.5, 0.5, 0.5, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_is_held_or_hidden_is_left_alone_once_it_is() {
        let group = |curve: [f32; 3]| TimedTokens {
            tokens: vec![1],
            curve: TimingCurve::new(curve.to_vec()).unwrap(),
        };
        let terms = |attention: f32, flatness: f32, magnitude: Magnitude| {
            let of = if magnitude == Magnitude::Sum { attention } else { attention.ln() };
            GroupTerms { positive_magnitude: -of, negative_magnitude: of, flatness, ..GroupTerms::default() }
        };
        for magnitude in [Magnitude::Sum, Magnitude::LogRatio] {
            let mut g = Guidance::default();
            g.objective.magnitude = magnitude;
            let found = |curve: [f32; 3], attention: f32, flatness: f32| {
                met(&group(curve), &terms(attention, flatness, magnitude), &terms(0.04, 0.03, magnitude), &g)
            };
            assert_eq!(found(ON, 0.04, 0.03), Some(false));
            assert_eq!(found(ON, 0.04, 0.002), Some(true));
            assert_eq!(found(ON, 0.06, 0.03), Some(true));
            assert_eq!(found(OFF, 0.04, 0.0), Some(false));
            assert_eq!(found(OFF, 0.0039, 0.0), Some(true));
            assert_eq!(found(HALF, 0.04, 0.03), Some(true));
            assert_eq!(found(LATE, 0.04, 0.03), None);
        }
        let control =
            Control { groups: vec![group(ON), group(LATE), group(OFF)], guidance: None, mask: None };
        let (g, released) = (Guidance::default(), Guidance::released());
        let tau = g.objective.tau;
        assert_eq!(without(&control, &g, &[false, true, false]), None);
        assert_eq!(without(&control, &released, &[true, true, true]), None);
        let left = [tau, tau, tau, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        assert_eq!(without(&control, &g, &[true, true, false]), Some(left.to_vec()));
    }

    #[test]
    fn a_token_has_one_curve() {
        let both = |a: [f32; 3], b: [f32; 3], guidance: Option<Guidance>, mask: Option<TemporalMask>| {
            let group = |tokens: &[usize], curve: [f32; 3]| TimedTokens {
                tokens: tokens.to_vec(),
                curve: TimingCurve::new(curve.to_vec()).unwrap(),
            };
            check(&Control { groups: vec![group(&[1, 2], a), group(&[2, 3], b)], guidance, mask })
        };
        let mask = Some(TemporalMask::default());
        let text = both(ON, OFF, Some(Guidance::default()), None).unwrap_err().to_string();
        assert!(text.contains("token 2") && text.contains("words 0 and 1"), "{text}");
        assert!(both(LATE, OFF, None, mask).is_err());
        assert!(both(LATE, LATE, Some(Guidance::default()), mask).is_ok());
        assert!(both(LATE, OFF, Some(Guidance::released()), None).is_ok());
    }
}
