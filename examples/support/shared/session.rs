//! The device, the model and the detector that a run works with, and how a program ends.

use super::detector::Detector;
use foveal::nn::Precision;
use foveal::pipelines::text_to_video::TextToVideo;
use foveal::{Context, ContextOptions};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where a run takes place.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device and model")]
pub(crate) struct Place {
    /// best, low-power, software, a number from the `devices` example, or part of a name.
    #[arg(long, default_value = "best")]
    adapter: String,
    /// Model folder, or a .safetensors file of the transformer in one [default: the tiny model of the repository]
    #[arg(long)]
    model: Option<PathBuf>,
    /// How the model lies in memory: f32, bf16, f16, bf16-weights or f16-weights.
    #[arg(long, default_value = "f32")]
    pub(crate) precision: Precision,
}

/// An open model.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) pipeline: TextToVideo,
    /// None where the model states no palette.
    pub(crate) detector: Option<Detector>,
    /// The model's folder, without what leads to it.
    pub(crate) model: String,
}

impl Place {
    /// Opens the adapter and the model; prints which adapter it is.
    pub(crate) fn open(&self) -> foveal::Result<Session> {
        let Ok(adapter) = self.adapter.parse();
        let context = foveal::block_on(Context::new(ContextOptions::default().adapter(adapter)))?;
        println!("adapter: {}", context.caps());
        let folder = self.model.clone().unwrap_or_else(|| in_repository("models/tiny-wan"));
        let pipeline = TextToVideo::open_as(&context, &folder, self.precision)?;
        pipeline.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
        let model = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let detector = Detector::open(pipeline.folder())?;
        Ok(Session { pipeline, detector, model })
    }
}

/// A path below the root of the repository.
pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Prints the error of a run that failed.
pub(crate) fn end(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
