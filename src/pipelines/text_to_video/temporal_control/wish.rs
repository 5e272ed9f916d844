//! What a run can do about the curves that it is given.

use super::{Control, Guidance, StopWhen, TimedTokens};
use crate::kernels::temporal::{GroupTerms, Magnitude, Normalisation, TemporalObjective};
use crate::{Error, Result};

/// A held word is even enough at this deviation of its attention over time, as a share of its mean.
const EVEN: f32 = 0.05;
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
        if guidance.is_none() && mask.is_some() && groups.iter().all(is_held) {
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
    Some(if is_held(group) {
        now.flatness <= EVEN * EVEN
    } else if *level == 0.0 {
        let fallen = match g.objective.magnitude {
            Magnitude::Sum => now.negative_magnitude / first.negative_magnitude,
            Magnitude::LogRatio => (now.negative_magnitude - first.negative_magnitude).exp(),
        };
        fallen <= LOWERED
    } else {
        true
    })
}

/// The word is wanted in every frame.
fn is_held(group: &TimedTokens) -> bool {
    group.curve.values().iter().all(|v| *v == 1.0)
}

/// Whether held and hidden words have objectives of their own: the released rule and other normalisations take curves as they
/// are.
fn is_mended(g: &Guidance) -> bool {
    g.stop_when == StopWhen::AllGroups && g.objective.normalisation == Normalisation::Released
}

/// What is minimised where some words are held or hidden: curves and the objective that they meet, added up. `None` where
/// that is the objective of all curves as they are.
///
/// Of a held word the attention is made even and no more: raised everywhere, the model draws the word all over the frame. Words
/// that have what they want wait for the others, since more of it draws them twice.
pub(super) fn parts(
    control: &Control,
    g: &Guidance,
    met: &[bool],
) -> Option<Vec<(Vec<f32>, TemporalObjective)>> {
    if !is_mended(g) || !control.groups.iter().any(|group| group.curve.is_constant()) {
        return None;
    }
    let mut parts = Vec::with_capacity(2);
    for held in [false, true] {
        let takes = |group: &TimedTokens, met: bool| is_held(group) == held && !met;
        let of = |(group, met): (&TimedTokens, &bool)| match takes(group, *met) {
            true => group.curve.values().to_vec(),
            false => vec![g.objective.tau; group.curve.frames()],
        };
        if control.groups.iter().zip(met).any(|(group, met)| takes(group, *met)) {
            let mut objective = g.objective;
            if held {
                objective.weights.magnitude = 0.0;
            }
            parts.push((control.groups.iter().zip(met).flat_map(of).collect(), objective));
        }
    }
    // Nothing is left to minimise where a discarded gradient is asked for.
    (!parts.is_empty()).then_some(parts)
}

/// Curves as the gradient's objective takes them, one after the other. Where a mask follows a level that never changes, the
/// gradient has nothing to do: a constant τ is neither on nor off and correlates with nothing.
pub(super) fn objectives(control: &Control) -> Vec<f32> {
    let left_alone = control.guidance.as_ref().filter(|g| control.mask.is_some() && is_mended(g));
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
            assert_eq!(found(ON, 0.06, 0.03), Some(false));
            assert_eq!(found(OFF, 0.04, 0.0), Some(false));
            assert_eq!(found(OFF, 0.0039, 0.0), Some(true));
            assert_eq!(found(HALF, 0.04, 0.03), Some(true));
            assert_eq!(found(LATE, 0.04, 0.03), None);
        }
        let control = |curves: &[[f32; 3]]| Control {
            groups: curves.iter().map(|c| group(*c)).collect(),
            guidance: None,
            mask: None,
        };
        let (g, released) = (Guidance::default(), Guidance::released());
        let tau = g.objective.tau;
        let (all, nothing) = (control(&[ON, LATE, OFF]), [tau; 3]);
        assert_eq!(parts(&all, &g, &[false, true, true]).unwrap().len(), 1);
        assert_eq!(parts(&control(&[LATE, LATE]), &g, &[true, false]), None);
        assert_eq!(parts(&all, &released, &[true, true, true]), None);
        assert_eq!(parts(&control(&[ON]), &g, &[true]), None);
        let found = parts(&all, &g, &[false, false, true]).unwrap();
        assert_eq!(found.len(), 2);
        let ((others, plain), (held, even)) = (&found[0], &found[1]);
        assert_eq!(*others, [nothing, LATE, nothing].concat());
        assert_eq!(*held, [ON, nothing, nothing].concat());
        assert_eq!((*plain, even.weights.magnitude, even.weights.flatness), (g.objective, 0.0, 1.0));
        let found = parts(&all, &g, &[true, false, false]).unwrap();
        assert_eq!((found.len(), &found[0].0), (1, &[nothing, LATE, OFF].concat()));
        assert_eq!(parts(&control(&[ON]), &g, &[false]).unwrap().len(), 1);
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
