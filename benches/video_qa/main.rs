//! Prefill of a prompt with a video by what is kept of it, and tokens a second behind it.
//!
//! `cargo bench --bench video_qa -- [--layers 2] [--video-tokens 5440] [--small]`
//!
//! The language model alone, at the 3B model's widths with as many blocks as asked for, or at small ones. Selections score at
//! their shares of the depth, and `fast_v` in the second block.
//! Weights are zeros: nothing that is computed depends on them but numbers.

use clap::Parser;
use foveal::models::qwen2_5_vl::{MropePositions, Placement, QwenText, QwenVlConfig, QwenVlWeights};
use foveal::nn::Precision;
use foveal::pipelines::video_qa::{Prefill, Selection, Session, VideoTokens};
use foveal::{Context, ContextOptions, Result, Tensor, block_on};
use std::time::Instant;

#[derive(Debug, Parser)]
struct Args {
    /// Blocks of the language model, two or more
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(2..))]
    layers: u16,
    /// Tokens of the video, in 32 temporal steps
    #[arg(long, default_value_t = 5440)]
    video_tokens: usize,
    /// Width 256 instead of 2,048
    #[arg(long)]
    small: bool,
    /// How the model lies in memory
    #[arg(long, default_value = "f32")]
    precision: Precision,
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Tokens that are generated for the rate
    #[arg(long, default_value_t = 32)]
    tokens: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

const STEPS: usize = 32;
const BEFORE: usize = 15;
const BEHIND: usize = 40;

fn config(args: &Args) -> QwenVlConfig {
    let mut config = QwenVlConfig::qwen2_5_vl_3b();
    (config.layers, config.vocab_size) = (args.layers.into(), 4096);
    (config.tokens.image, config.tokens.video) = (1, 2);
    if args.small {
        (config.hidden_size, config.heads, config.kv_heads, config.intermediate_size) = (256, 4, 2, 688);
        config.mrope_section = [8, 12, 12];
    }
    config
}

/// Least and middle seconds of some runs.
fn seconds(repeats: usize, mut run: impl FnMut() -> Result<()>) -> Result<[f64; 2]> {
    // The first compiles.
    run()?;
    let mut times = Vec::with_capacity(repeats.max(1));
    for _ in 0..repeats.max(1) {
        let begun = Instant::now();
        run()?;
        times.push(begun.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok([times[0], times[times.len() / 2]])
}

fn main() -> Result<()> {
    let args = Args::parse();
    let context = block_on(Context::new(ContextOptions::default()))?;
    println!("adapter: {}", context.caps());
    let config = config(&args);
    let (layers, hidden) = (config.layers, config.hidden_size);
    let model =
        QwenText::new(&context, &QwenVlWeights::planned(config), args.precision, Placement::Resident)?;
    let per_step = args.video_tokens / STEPS;
    let tokens = VideoTokens::of_one(BEFORE + STEPS * per_step + BEHIND, BEFORE, STEPS, per_step);
    let n = tokens.length;
    let positions = MropePositions::new([(); 3].map(|()| (0..n as u32).collect()))?;
    let noise: Vec<f32> = (0..n * hidden).map(|i| ((i as f64 * 0.7391).sin() * 1e3).fract() as f32).collect();
    let embeddings = Tensor::from_f32_as(&context, [n, hidden], &noise, args.precision.activations)?;
    let room = n + args.tokens + 1;
    println!(
        "{} blocks of width {hidden}, {} video tokens of {n}, {}",
        layers,
        STEPS * per_step,
        args.precision
    );
    println!(
        "{:<22}{:>6}{:>12}{:>12}{:>10}{:>14}{:>14}",
        "selection", "keep", "prefill s", "median", "of all", "tokens/s", "cache MB"
    );

    let mut whole = None;
    let mut asked = vec![("all", 1.0, None)];
    for keep in [1.0, 0.5, 0.25, 0.1] {
        asked.push(("fast_v", keep, Some(Selection::fast_v(keep))));
        asked.push(("prune_vid", keep, Some(Selection::prune_vid(layers, keep))));
        asked.push(("grounding", keep, Some(Selection::grounding(layers, keep))));
        asked.push(("uniform", keep, Some(Selection::uniform(keep))));
    }
    for (name, keep, selection) in &asked {
        let prompt = Prefill {
            embeddings: &embeddings,
            positions: &positions,
            tokens: &tokens,
            selection: selection.as_ref(),
            chunk: 512,
        };
        let [least, median] = seconds(args.repeats, || {
            let mut session = Session::new(&model, room, room)?;
            let done = block_on(session.prefill(&prompt, |_| Ok(())))?;
            block_on(session.last_logits(&done)?.to_vec()).map(|_| ())
        })?;
        let mut session = Session::new(&model, room, room)?;
        block_on(session.prefill(&prompt, |_| Ok(())))?;
        let cache = session.cache().bytes_in_use() as f64 / 1e6;
        // The first compiles.
        block_on(session.step(3, &mut |_| Ok(()))?.to_vec())?;
        let begun = Instant::now();
        for _ in 0..args.tokens {
            // A run waits for every token, since the next one depends on it.
            block_on(session.step(3, &mut |_| Ok(()))?.to_vec())?;
        }
        let rate = args.tokens as f64 / begun.elapsed().as_secs_f64();
        let whole = *whole.get_or_insert(least);
        println!(
            "{name:<22}{keep:>6}{least:>12.3}{median:>12.3}{:>10.3}{rate:>14.1}{cache:>14.2}",
            least / whole
        );
    }
    Ok(())
}
