//! The temporal objective and where its masks come from.

use super::super::{Case, Outputs};
use super::{host, objective};
use foveal::kernels::temporal::{TemporalObjective, TemporalOutcome, temporal_loss};
use foveal::pipelines::text_to_video::audio_mask::{AudioMaskOptions, audio_mask};
use foveal::{Context, Result, Tensor};

/// `tempo.loss`: terms, signal and gradient of a given map.
pub(super) fn loss(context: &Context, case: &Case) -> Result<Outputs> {
    // Constants of the kernels; a case with others asks for another objective.
    for (path, value) in [("eps_minmax", 1e-6), ("eps_var", 1e-6), ("eps_entropy", 1e-10)] {
        if case.param(path).is_some() && case.f64(path)? != value {
            return Err(case.malformed(format!("`{path}` is not {value}")));
        }
    }
    let attention = case.input("attention")?;
    let &[groups, frames, height, width] = attention.shape().dims() else {
        return Err(case.malformed(format!(
            "in/attention {} is not (groups, frames, height, width)",
            attention.shape()
        )));
    };
    let mut objective = objective(case)?;
    if let [first, last] = case.usizes("pearson_frames")?[..] {
        objective = TemporalObjective {
            skip_first: first,
            skip_last: (frames - 1).saturating_sub(last),
            ..objective
        };
    }
    let map = Tensor::from_f32(context, [groups, frames, height * width], attention.data())?;
    let masks = Tensor::from_host(context, &case.input("masks")?)?;
    let outcome = temporal_loss(&map, &masks, &objective)?;
    let mut out = Outputs::new();
    report(&mut out, &outcome)?;
    out.tensor("grad", host(&outcome.grad)?.reshape([groups, frames, height, width])?);
    Ok(out)
}

/// The terms of every group, their mean total, and the signal.
pub(super) fn report(out: &mut Outputs, outcome: &TemporalOutcome) -> Result<()> {
    let terms = foveal::block_on(outcome.group_terms())?;
    let column = |of: fn(&foveal::kernels::temporal::GroupTerms) -> f32| {
        terms.iter().map(|t| of(t).into()).collect::<Vec<f64>>()
    };
    let groups = terms.len();
    out.f64s("r", [groups], column(|t| t.correlation));
    out.f64s("positive_magnitude", [groups], column(|t| t.positive_magnitude));
    out.f64s("negative_magnitude", [groups], column(|t| t.negative_magnitude));
    out.f64s("entropy", [groups], column(|t| t.entropy));
    out.f64s("total", [1], vec![column(|t| t.total).iter().sum::<f64>() / groups as f64]);
    out.tensor("signal", host(&outcome.signal)?);
    Ok(())
}

/// `tempo.audio_mask`: a mask from an onset envelope.
pub(super) fn audio_mask_of(_context: &Context, case: &Case) -> Result<Outputs> {
    if case.str("gaussian_mode")? != "reflect" {
        return Err(case.malformed("only `gaussian_mode` reflect is known"));
    }
    let options = AudioMaskOptions {
        frames: case.usize("frames")?,
        threshold: case.f64("threshold")? as f32,
        sigma: case.f64("sigma")?,
        truncate: case.f64("gaussian_truncate")?,
    };
    let found = audio_mask(case.input("envelope")?.data(), &options)?;
    let mut out = Outputs::new();
    let numbers = |v: &[f32]| v.iter().map(|&x| x.into()).collect::<Vec<f64>>();
    out.f64s("mask", [options.frames], numbers(&found.mask));
    out.f64s("pooled", [options.frames], numbers(&found.pooled));
    Ok(out)
}
