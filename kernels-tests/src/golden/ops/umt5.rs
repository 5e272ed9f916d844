//! The text encoder.

use super::super::{Case, Outputs};
use super::host;
use foveal::models::umt5::{Umt5, Umt5Config, Umt5Weights};
use foveal::weights::WeightStore;
use foveal::{Context, HostTensor, Result};

/// `umt5.encode`: a padded batch with lengths, and each prompt alone without its padding.
pub(super) fn encode(context: &Context, case: &Case) -> Result<Outputs> {
    let (config, store) = if case.param("model_folder").is_some() {
        let folder = case.model_folder()?;
        (Umt5Config::open(&folder)?, WeightStore::open(&folder)?)
    } else {
        (Umt5Config::from_config(&case.config("config")?)?, case.weights())
    };
    let (shape, width) = (case.input_shape("ids")?, config.d_model);
    let &[batch, length] = shape.dims() else {
        return Err(case.malformed(format!("in/ids {shape} is not (batch, length)")));
    };
    let ids = case.ints("ids")?.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(|e| case.malformed(format!("in/ids: {e}")))?;
    let mask = case.ints("mask")?;
    let lengths: Vec<usize> =
        mask.chunks(length).map(|row| row.iter().take_while(|&&m| m != 0).count()).collect();
    let text_len = case.usize("text_len")?;
    let model = Umt5::new(context, Umt5Weights::new(&store, config)?)?;

    let mut out = Outputs::new();
    out.tensor("hidden", host(&model.encode(&ids, length, &lengths)?)?);
    let mut padded = Vec::with_capacity(batch * text_len * width);
    for (row, &n) in ids.chunks(length).zip(&lengths) {
        padded.extend(host(&model.encode(&row[..n], n, &[n])?)?.into_data());
        padded.resize(padded.len() + (text_len - n) * width, 0.0);
    }
    out.tensor("context_padded", HostTensor::new([batch, text_len, width], padded)?);
    Ok(out)
}
