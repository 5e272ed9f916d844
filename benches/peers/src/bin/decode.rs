//! Tokens a second that Qwen2.5-VL's language model writes: foveal on the adapter, candle on the CPU.
//!
//! `cargo run --release --bin decode -- [--model FOLDER] [--prompt 64] [--tokens 128]`
//!
//! Both read the same folder, in f32, and are given the same prompt of text, in which all three parts of a position are
//! one; so candle's Qwen2 is the same model. Each takes the likeliest token. They take turns, and must say the same.

use candle_core::{DType, Device, Tensor as CandleTensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::qwen2;
use clap::Parser;
use cpu_time::ProcessTime;
use foveal::models::qwen2_5_vl::{MropePositions, Placement, QwenText, QwenVlConfig, QwenVlWeights};
use foveal::nn::Precision;
use foveal::pipelines::video_qa::{Prefill, Session, VideoTokens};
use foveal::weights::WeightStore;
use foveal::{AdapterChoice, Context, ContextOptions, block_on};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Times decoding beside candle.
#[derive(Parser)]
struct Args {
    /// Folder with `config.json` and `model.safetensors`
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny-qwen-vl"))]
    model: PathBuf,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    prompt: u16,
    /// Tokens that are written behind it
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    tokens: u16,
    /// Rounds, in each of which both have their turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Adapter: best, low-power, software, its number, or part of its name
    #[arg(long, default_value = "best")]
    adapter: AdapterChoice,
}

/// What one turn gives: the tokens, and seconds a token by the clock and of all threads.
struct Turn {
    ids: Vec<u32>,
    wall: f64,
    cpu: f64,
}

fn timed(tokens: usize, mut next: impl FnMut() -> Result<u32>) -> Result<Turn> {
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let ids = (0..tokens).map(|_| next()).collect::<Result<_>>()?;
    let each = |seconds: f64| seconds / tokens as f64;
    Ok(Turn { ids, wall: each(wall.elapsed().as_secs_f64()), cpu: each(cpu.elapsed().as_secs_f64()) })
}

/// The first of the largest.
fn best(logits: &[f32]) -> u32 {
    let more = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
    (0..logits.len()).reduce(more).unwrap_or(0) as u32
}

fn foveal_turn(model: &QwenText, prompt: &[u32], tokens: usize) -> Result<Turn> {
    let n = prompt.len();
    let mut session = Session::new(model, n + tokens, n + tokens)?;
    let positions = MropePositions::new([(); 3].map(|()| (0..n as u32).collect()))?;
    let done = block_on(session.prefill(
        &Prefill {
            embeddings: &model.embed(prompt)?,
            positions: &positions,
            tokens: &VideoTokens { length: n, groups: Vec::new(), videos: Vec::new() },
            selection: None,
            chunk: n,
        },
        |_| Ok(()),
    ))?;
    let mut id = best(&block_on(session.last_logits(&done)?.to_vec())?);
    timed(tokens, || {
        let written = id;
        id = best(&block_on(session.step(written, &mut |_| Ok(()))?.to_vec())?);
        Ok(written)
    })
}

fn candle_turn(model: &mut qwen2::ModelForCausalLM, prompt: &[u32], tokens: usize) -> Result<Turn> {
    model.clear_kv_cache();
    let run = |model: &mut qwen2::ModelForCausalLM, ids: &[u32], at: usize| -> Result<u32> {
        let ids = CandleTensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        Ok(best(&model.forward(&ids, at)?.flatten_all()?.to_vec1()?))
    };
    let mut id = run(model, prompt, 0)?;
    let mut at = prompt.len();
    timed(tokens, || {
        let written = id;
        id = run(model, &[written], at)?;
        at += 1;
        Ok(written)
    })
}

/// candle's Qwen2 from the same folder.
fn candle_model(args: &Args, config: &QwenVlConfig) -> Result<qwen2::ModelForCausalLM> {
    let own = qwen2::Config {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        num_key_value_heads: config.kv_heads,
        max_position_embeddings: config.max_positions,
        sliding_window: config.max_positions,
        max_window_layers: config.layers,
        tie_word_embeddings: true,
        rope_theta: config.rope_theta,
        rms_norm_eps: f64::from(config.eps),
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    };
    let bytes = std::fs::read(args.model.join("model.safetensors"))?;
    let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?;
    Ok(qwen2::ModelForCausalLM::new(&own, weights)?)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn run(args: &Args) -> Result<()> {
    let context = block_on(Context::new(ContextOptions::default().adapter(args.adapter.clone())))?;
    let config = QwenVlConfig::open(args.model.join("config.json"))?;
    let weights = QwenVlWeights::new(&WeightStore::open(&args.model)?, config.clone())?;
    let model = QwenText::new(&context, &weights, Precision::F32, Placement::Resident)?;
    let mut candle = candle_model(args, &config)?;
    let (prompt, tokens) = (usize::from(args.prompt), usize::from(args.tokens));
    // Any text does; ids below 256 are bytes.
    let ids: Vec<u32> = (0..prompt as u32).map(|i| (i * 37 + 11) % 256).collect();
    println!("adapter: {}", context.caps().adapter);
    println!("driver: {}", context.caps().driver);
    println!("processors: {}", std::thread::available_parallelism()?);
    println!("{} blocks of width {}, f32; {prompt} tokens before, {tokens} written", config.layers, config.hidden_size);
    // The first compiles.
    let expected = foveal_turn(&model, &ids, tokens)?.ids;
    candle_turn(&mut candle, &ids, tokens)?;
    let mut turns = [Vec::new(), Vec::new()];
    for round in 0..args.rounds {
        for turn in 0..2 {
            let who = usize::from((round + turn) % 2);
            let turn = match who {
                0 => foveal_turn(&model, &ids, tokens)?,
                _ => candle_turn(&mut candle, &ids, tokens)?,
            };
            let common = turn.ids.iter().zip(&expected).take_while(|(a, b)| a == b).count();
            if common < tokens {
                return Err(format!("from token {common} on another text than in foveal's first turn").into());
            }
            turns[who].push(turn);
        }
    }
    println!("{:<10}{:>12}{:>14}{:>18}", "", "tokens/s", "ms a token", "CPU ms a token");
    for (name, turns) in ["foveal", "candle"].into_iter().zip(&turns) {
        let wall = middle(turns.iter().map(|t| t.wall).collect());
        let cpu = middle(turns.iter().map(|t| t.cpu).collect());
        println!("{name:<10}{:>12.1}{:>14.2}{:>18.2}", 1.0 / wall, 1e3 * wall, 1e3 * cpu);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decode: {error}");
            ExitCode::FAILURE
        }
    }
}
