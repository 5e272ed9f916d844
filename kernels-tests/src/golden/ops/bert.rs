//! The text encoder of the sentiment model.

use super::super::{Case, Outputs};
use super::host;
use foveal::autograd::Tape;
use foveal::models::bert::{self, BertConfig, Texts};
use foveal::nn::Parameters;
use foveal::weights::WeightStore;
use foveal::{Context, HostTensor, Result};

/// `bert.encode`: a padded batch; rows of padding are expected as zeros.
pub(super) fn encode(context: &Context, case: &Case) -> Result<Outputs> {
    let folder = case.model_folder()?;
    let config = BertConfig::open(&folder)?;
    let mut parameters = Parameters::new(context);
    bert::load(&mut parameters, "", &WeightStore::open(&folder)?, &config)?;
    let shape = case.input_shape("ids")?;
    let &[batch, length] = shape.dims() else {
        return Err(case.malformed(format!("in/ids {shape} is not (batch, length)")));
    };
    let (ids, mask) = (case.ints("ids")?, case.ints("mask")?);
    let real = |row: (&[i64], &[i64])| {
        let tokens = row.0.iter().zip(row.1).filter(|(_, m)| **m != 0);
        tokens.map(|(&id, _)| id as u32).collect::<Vec<_>>()
    };
    let texts: Vec<Vec<u32>> = ids.chunks(length).zip(mask.chunks(length)).map(real).collect();
    let texts = Texts::new(&texts)?;
    let hidden = bert::encode(&mut Tape::forward(), &parameters.constants(), "", &config, &texts)?;
    let mut hidden = host(hidden.tensor())?;
    let width = config.hidden_size;
    for (row, values) in hidden.data_mut().chunks_mut(width).enumerate() {
        if row % length >= texts.lengths()[row / length] {
            values.fill(0.0);
        }
    }
    let mut out = Outputs::new();
    out.tensor("hidden", HostTensor::new([batch, length, width], hidden.into_data())?);
    Ok(out)
}
