//! Answers questions about videos, from all of their tokens or from those that attention looks at.
//!
//! `cargo run --release --example video_qa -- --video CLIP --ask "When does the red ball appear?"`
//! `cargo run --release --example video_qa -- --video CLIP --ask "…" --keep 0.25 --timestamps --out PICTURES`
//! `cargo run --release --example video_qa -- --batch questions.jsonl --out answers.jsonl`
//! `cargo run --release --example video_qa -- --know-show FOLDER --videos CLIPS --out RESULTS`
//!
//! CLIP is a video file, a GIF or a folder of images. Bulk runs may be killed at any time: started again with the same arguments
//! they go on.

mod ask;
mod batch;
#[path = "../support/shared/canvas.rs"]
mod canvas;
#[path = "../support/shared/interrupt.rs"]
mod interrupt;
mod know_show;
mod lines;
mod looking;
mod open;
mod options;
mod picture;
#[path = "../support/shared/repository.rs"]
mod repository;
#[path = "../support/shared/warning.rs"]
mod warning;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use interrupt::{Interrupt, Stopped};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Answers questions about videos
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0, done; 1, an error; 2, arguments that cannot be; 3, answered, but some questions have a line that says \
    why they have no answer; 130, stopped."
)]
struct Cli {
    /// A video file, a GIF or a folder of images
    #[arg(long, requires = "ask")]
    video: Vec<PathBuf>,
    /// An image; may be given several times, and beside videos
    #[arg(long, requires = "ask")]
    image: Vec<PathBuf>,
    /// The question
    #[arg(long, conflicts_with_all = ["batch", "know_show"])]
    ask: Option<String>,
    /// Questions, one JSON object a line: `video`, `question`, and where they differ `id`, `start` and `end` in seconds
    #[arg(long, requires = "out", conflicts_with = "know_show")]
    batch: Option<PathBuf>,
    /// The benchmark's folder of questions
    #[arg(long, requires = "out", requires = "videos")]
    know_show: Option<PathBuf>,
    /// The folder of the benchmark's videos
    #[arg(long)]
    videos: Option<PathBuf>,
    /// Where pictures, or the answers of a bulk run, are written
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: options::Place,
    #[command(flatten)]
    frames: options::Frames,
    #[command(flatten)]
    asking: options::Asking,
}

/// Whether all was answered.
type Ended = Result<bool, Box<dyn Error>>;

/// Some questions have no answer.
const INCOMPLETE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = foveal::block_on(run(&cli));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INCOMPLETE),
        Err(error) => {
            eprintln!("error: {error}");
            if error.is::<Stopped>() { ExitCode::from(interrupt::CODE) } else { ExitCode::FAILURE }
        }
    }
}

/// A bar of this form.
fn bar(template: &str, length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The bar of a bulk run.
fn questions_bar(questions: usize) -> ProgressBar {
    bar("{bar:30} {pos}/{len} questions {elapsed}, {eta} left", questions)
}

async fn run(cli: &Cli) -> Ended {
    // What cannot be is refused before anything is loaded.
    cli.asking.choosing.keep()?;
    let stop = Interrupt::watch()?;
    match (&cli.ask, &cli.batch, &cli.know_show) {
        (Some(text), _, _) => ask::ask(cli, text, &stop).await,
        (None, Some(questions), _) => batch::batch(cli, questions, &stop).await,
        (None, None, Some(folder)) => know_show::know_show(cli, folder, &stop).await,
        (None, None, None) => Err("nothing is asked: --ask, --batch or --know-show".into()),
    }
}
