//! Settings in a user's words: nothing of how they are called in code.

use foveal::kernels::temporal::{Magnitude, Normalisation, TemporalObjective, TemporalWeights};
use foveal::pipelines::schedules::AfterEdit;
use foveal::pipelines::text_to_video::temporal_control::{Guidance, StopWhen, TemporalMask, Update};

/// Settings of the gradient in one line: all that a clip depends on.
pub(crate) fn gradient(guidance: &Guidance) -> String {
    // Without `..`: a field that is added has to be put into words, or left out on purpose.
    let Guidance {
        steps,
        after_last_step,
        updates,
        threshold,
        check_before,
        stop_when,
        objective,
        update,
        previous_timestep,
        after_edit,
        released_layer_divisor,
        unused_work,
        // Of memory alone.
        keep: _,
    } = guidance;
    let TemporalObjective { weights, tau, normalisation, magnitude, skip_first, skip_last } = objective;
    let TemporalWeights { correlation, magnitude: weight, entropy, flatness } = weights;
    let whose = match stop_when {
        StopWhen::FirstGroup => "the first word",
        StopWhen::AllGroups => "every word",
    };
    let moved = match update {
        Update::TrustRegion { size } => format!("moved by {size} of the noise level"),
        Update::AdamW(s) => format!(
            "moved by AdamW (rate {}, betas {} and {}, eps {}, decay {})",
            s.lr, s.beta1, s.beta2, s.eps, s.weight_decay
        ),
    };
    let corrector = match after_edit {
        AfterEdit::Ignore => "the corrector takes moves back",
        AfterEdit::SkipCorrector => "no corrector after a move",
        AfterEdit::Transport => "the corrector keeps moves",
    };
    let magnitude = match magnitude {
        Magnitude::Sum => "as a sum",
        Magnitude::LogRatio => "as a log ratio",
    };
    let mut text = format!(
        "after steps {steps}, at most {updates} updates each until correlation {threshold} of {whose}; {moved}; \
         {corrector}; weights: correlation {correlation}, magnitude {weight} ({magnitude}), entropy {entropy}, flatness \
         {flatness}; frames left out: {skip_first} first, {skip_last} last; wanted above {tau}"
    );
    for (on, what) in [
        (*normalisation == Normalisation::Released, "the released divisors of means"),
        (*after_last_step, "also after the last step"),
        (!check_before, "at least one update"),
        (*previous_timestep, "scored at the timestep just taken"),
        (*released_layer_divisor, "divided by one layer less"),
        (*unused_work, "read after every step"),
    ] {
        if on {
            text.push_str("; ");
            text.push_str(what);
        }
    }
    text
}

/// The mask in one line.
pub(crate) fn mask(mask: &TemporalMask) -> String {
    let TemporalMask { floor, steps } = *mask;
    let steps = if steps == usize::MAX { "every step".into() } else { format!("the first {steps} steps") };
    format!("{floor} of a word is left where its curve is 0, at {steps}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use foveal::kernels::optim::AdamW;

    #[test]
    fn whatever_changes_a_clip_changes_its_words() {
        let base = Guidance::default;
        let objective = |change: fn(&mut Guidance)| {
            let mut guidance = base();
            change(&mut guidance);
            guidance
        };
        let others = [
            Guidance { steps: (0..4).collect(), ..base() },
            Guidance { after_last_step: true, ..base() },
            Guidance { updates: 3, ..base() },
            Guidance { threshold: 0.8, ..base() },
            Guidance { check_before: false, ..base() },
            Guidance { stop_when: StopWhen::FirstGroup, ..base() },
            Guidance { update: Update::TrustRegion { size: 0.04 }, ..base() },
            Guidance { update: Update::AdamW(AdamW::default()), ..base() },
            Guidance { update: Update::AdamW(AdamW { eps: 0.5, ..AdamW::default() }), ..base() },
            Guidance { previous_timestep: true, ..base() },
            Guidance { after_edit: AfterEdit::Ignore, ..base() },
            Guidance { after_edit: AfterEdit::SkipCorrector, ..base() },
            Guidance { released_layer_divisor: true, ..base() },
            Guidance { unused_work: true, ..base() },
            objective(|g| g.objective.weights.correlation += 1.0),
            objective(|g| g.objective.weights.magnitude += 1.0),
            objective(|g| g.objective.weights.entropy += 1.0),
            objective(|g| g.objective.weights.flatness += 1.0),
            objective(|g| g.objective.tau += 0.125),
            objective(|g| g.objective.skip_first += 1),
            objective(|g| g.objective.skip_last += 1),
            objective(|g| g.objective.magnitude = Magnitude::Sum),
            objective(|g| g.objective.normalisation = Normalisation::Paper),
        ];
        let mut all: Vec<String> = others.iter().chain([&base()]).map(gradient).collect();
        // Nothing of how code calls it.
        assert!(
            all.iter().all(|text| !text.contains("::") && !text.contains('{') && !text.contains("Region"))
        );
        all.sort();
        all.dedup();
        assert_eq!(all.len(), others.len() + 1);
        let masks = [(0.0, usize::MAX), (0.1, usize::MAX), (0.0, 3)]
            .map(|(floor, steps)| mask(&TemporalMask { floor, steps }));
        assert_eq!(masks[0], "0 of a word is left where its curve is 0, at every step");
        assert!(masks[0] != masks[1] && masks[2].ends_with("the first 3 steps"));
    }
}
