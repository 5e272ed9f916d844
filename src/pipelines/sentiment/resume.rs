//! What a training run writes so that it can go on, and how it does.

use super::checkpoint;
use super::model::{Description, WEIGHTS};
use super::origin::Origin;
use super::request::TrainOptions;
use super::result::Resumed;
use super::train::{State, Trainer};
use crate::models::dashfusion::keys;
use crate::weights::{WeightStore, require_writable};
use crate::{Error, HostTensor, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    options: TrainOptions,
    model: Description,
    origin: Origin,
    state: State,
}

/// Appends what differs between two descriptions, by the names of their fields.
fn compare(name: &str, there: &Value, here: &Value, differences: &mut Vec<String>) {
    match (there, here) {
        (Value::Object(there), Value::Object(here)) => {
            for (key, value) in there {
                compare(key, value, here.get(key).unwrap_or(&Value::Null), differences);
            }
        }
        _ if there != here => {
            let told = |v: &Value| if v.is_null() { "none".to_owned() } else { v.to_string() };
            differences.push(format!("`{name}` {}, not {}", told(there), told(here)));
        }
        _ => {}
    }
}

impl Trainer {
    /// Writes everything that the rest of the run depends on, in one step.
    ///
    /// # Errors
    /// Those of [`write_whole`](crate::weights::write_whole).
    pub async fn checkpoint(&self, path: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        for (name, parameter) in self.model.parameters.iter() {
            if self.options.train_text || !name.starts_with(keys::TEXT_EXTRACTOR) {
                tensors.push((format!("parameter.{name}"), parameter.clone()));
            }
        }
        for (name, [first, second]) in self.optimiser.moments() {
            tensors.push((format!("first_moment.{name}"), first.clone()));
            tensors.push((format!("second_moment.{name}"), second.clone()));
        }
        let saved = Saved {
            options: self.options.clone(),
            model: self.model.description.clone(),
            origin: self.origin.clone(),
            state: self.state.clone(),
        };
        let state = serde_json::to_string(&saved).map_err(|e| Error::file(path, e.to_string()))?;
        checkpoint::write(path, tensors, Some(state)).await
    }

    /// Whether a state can be one of a run on these clips: every batch of an epoch is a step.
    fn continues(&self, state: &State) -> bool {
        let (per_epoch, batches) = (u64::from(self.steps_per_epoch()), state.batches_done as u64);
        batches <= per_epoch
            && u64::from(state.epoch) * per_epoch + batches == u64::from(state.steps)
            && state.retrieval.fits(self.clips().len())
    }

    /// What a checkpoint says that this run does not, apart from the number of epochs.
    fn differences(&self, saved: &Saved) -> Result<Vec<String>> {
        let value = |options: &TrainOptions, model: &Description| {
            let options = TrainOptions { epochs: 0, ..options.clone() };
            serde_json::to_value((options, model)).map_err(|e| Error::input("options", e.to_string()))
        };
        let there = value(&saved.options, &saved.model)?;
        let here = value(&self.options, &self.model.description)?;
        let mut differences = Vec::new();
        for part in 0..2 {
            compare("", &there[part], &here[part], &mut differences);
        }
        Ok(differences)
    }

    /// Goes on from a checkpoint of a run with the same options, clips and text encoder. The number of epochs may be another one,
    /// as long as it is not below those that were begun: the learning rate of what follows is then that of a run of as many
    /// epochs as the options now say, at the same step, while what was trained before stays as it is.
    ///
    /// # Errors
    /// [`Error::File`] for a checkpoint of another run, naming what differs, or of more epochs; [`Error::Weight`] for a tensor of another
    /// shape; [`Error::NonFinite`] for parameters that are NaN or infinite; as [`Optimiser::restore`](crate::nn::Optimiser::restore). Then nothing has
    /// changed.
    pub fn resume(&mut self, path: &Path) -> Result<Resumed> {
        let saved: Saved = serde_json::from_str(&checkpoint::state(path)?)
            .map_err(|e| Error::file(path, format!("not a checkpoint that this version can read: {e}")))?;
        let others = || Error::file(path, "it is of a run with other clips, features or labels");
        // First: what data decide of a model, such as its audio's scale, would be told of by its numbers.
        if saved.origin.data != self.origin.data {
            return Err(others());
        }
        let differences = self.differences(&saved)?;
        if !differences.is_empty() {
            let reason = format!("it is of a run with {}", differences.join(", "));
            return Err(Error::file(path, reason));
        }
        if !self.continues(&saved.state) {
            return Err(others());
        }
        if saved.origin.text != self.origin.text {
            return Err(Error::file(path, "it is of a run with another text encoder"));
        }
        let begun = saved.state.epoch + u32::from(saved.state.batches_done > 0);
        if self.options.epochs < begun {
            let asked = self.options.epochs;
            let reason = format!("{begun} epochs were begun in it, and cannot be made {asked} (`epochs`)");
            return Err(Error::file(path, reason));
        }
        let store = WeightStore::open(path)?;
        // Beside those of the model, which stay until nothing can be refused any more.
        let mut parameters = self.model.parameters.clone();
        let mut moments = Vec::new();
        for (name, tensor) in self.model.parameters.iter() {
            let shape = tensor.dims();
            if self.options.train_text || !name.starts_with(keys::TEXT_EXTRACTOR) {
                let values: HostTensor = store.load(&format!("parameter.{name}"), shape)?;
                values.require_finite(&format!("parameter `{name}`"))?;
                parameters.insert(name, &values)?;
            }
            if store.contains(&format!("first_moment.{name}")) {
                let load = |kind: &str| store.load(&format!("{kind}.{name}"), shape);
                moments.push((name.to_owned(), [load("first_moment")?, load("second_moment")?]));
            }
        }
        self.optimiser.restore(&parameters, saved.state.steps, moments)?;
        (self.model.parameters, self.state) = (parameters, saved.state);
        self.resumed = Some(path.to_path_buf());
        Ok(Resumed { steps: self.state.steps, epochs: saved.options.epochs })
    }

    /// Finds out before the work starts whether what is to be saved can be, and overwrites nothing of another run.
    pub(super) async fn prepare(&mut self) -> Result<()> {
        let model = self.saving.best.as_ref().map(|folder| folder.join(WEIGHTS));
        let checkpoint = self.saving.checkpoint.clone();
        if !self.own {
            // The model belongs to a checkpoint, which says more of whose it is.
            let others = checkpoint.as_ref().filter(|path| self.resumed.as_ref() != Some(*path));
            let models = model.as_ref().filter(|_| self.resumed.is_none());
            let there = [others, models].into_iter().flatten().find(|path| path.exists());
            if let Some(path) = there {
                let reason = "it is of another training run, and would be overwritten: go on from that run's checkpoint, or save elsewhere";
                return Err(Error::file(path, reason));
            }
        }
        if let (Some((epoch, _)), Some(path)) = (self.state.best, &model)
            && !path.exists()
        {
            let reason = format!(
                "the best model, of epoch {epoch}, is not there any more: put it back, or train anew elsewhere"
            );
            return Err(Error::file(path, reason));
        }
        if let Some((folder, path)) = self.saving.best.as_ref().zip(model.as_ref()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
            require_writable(path)?;
        }
        if let Some(path) = &checkpoint {
            require_writable(path)?;
            // Whatever else the folder will hold belongs to a run that can be gone on with.
            if !path.exists() {
                self.checkpoint(path).await?;
            }
        }
        self.own = true;
        Ok(())
    }
}
