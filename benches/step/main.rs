//! Times whole sampling steps at the width of Wan 2.1 1.3B, with random weights.
//!
//! `cargo bench --bench step -- [--layers N] [--size FxHxW] [--text N] [--precision P] [--runs N] [--adapter WHICH]`
//!
//! A denoising step is two passes of the transformer (prompt and negative prompt) and the sampler's update; a guided
//! step also reads the attention map, sends its gradient to the latent and moves it. Each is run once to
//! compile, then for the wall clock, then once more with a timestamp around every dispatch, which gives the table by
//! kernel. What the wall clock shows beyond the device's time is the host's share: recording, submitting, waiting.
//!
//! Without flags a GPU gets the whole model and a 480p clip of 81 frames; a CPU two blocks and a quarter of one frame.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop loudly")]

use clap::Parser;
use foveal::block_on;
use foveal::gpu::{AdapterClass, Timing};
use foveal::models::wan::{Wan, WanConfig, WanWeights};
use foveal::nn::Precision;
use foveal::pipelines::schedules::{Sampler, Solver};
use foveal::pipelines::schedules::{Schedule, SigmaGrid};
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::temporal_control::{
    Control, Event, Guidance, Prompts, TimedTokens, sample,
};
use foveal::weights::WeightStore;
use foveal::{AdapterChoice, Context, ContextOptions, HostTensor, Result};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

/// Times whole sampling steps
#[derive(Parser)]
struct Args {
    /// Transformer blocks; 30 is the model
    #[arg(long)]
    layers: Option<usize>,
    /// Latent frames, rows and columns, such as 21x60x104
    #[arg(long, value_parser = size)]
    size: Option<[usize; 3]>,
    /// Text positions
    #[arg(long, default_value_t = 512)]
    text: usize,
    /// f32, bf16, f16, bf16-weights or f16-weights
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Timed runs of a step
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Leave the guided step out
    #[arg(long)]
    unguided: bool,
    /// Adapter: best, low-power, software, its number, or part of its name
    #[arg(long, default_value = "best")]
    adapter: AdapterChoice,
    /// What cargo says to a bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn size(text: &str) -> Result<[usize; 3], String> {
    let numbers: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    let all = numbers.ok().and_then(|n| <[usize; 3]>::try_from(n).ok());
    all.ok_or_else(|| format!("`{text}` is not FRAMESxROWSxCOLUMNS"))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let options = ContextOptions::default().adapter(args.adapter.clone());
    let context = block_on(Context::new(options))?;
    let software = context.caps().class == AdapterClass::Software;
    let layers = args.layers.unwrap_or(if software { 2 } else { 30 });
    let size = args.size.unwrap_or(if software { [1, 30, 52] } else { [21, 60, 104] });
    let config = config(layers, args.text)?;
    let grid = config.grid(size[0], size[1], size[2])?;
    println!("{}", context.caps());
    println!(
        "{layers} blocks of width {}, latent {size:?}, {} tokens × {} text positions, {}",
        config.dim,
        grid.iter().product::<usize>(),
        config.text_len,
        args.precision
    );
    if software {
        println!("This adapter is a CPU: times on it say nothing about a GPU.");
    }
    let model = Wan::with_precision(&context, &random_weights(&config)?, args.precision)?;
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut noise = |dims: &[usize]| {
        let data = (0..dims.iter().product()).map(|_| rng.random_range(-1.7..1.7)).collect();
        HostTensor::new(dims.to_vec(), data)
    };
    let positive = model.text(&noise(&[config.text_len, config.text_dim])?)?;
    let negative = model.text(&noise(&[config.text_len, config.text_dim])?)?;
    let latent = noise(&[config.in_dim, size[0], size[1], size[2]])?;
    let prompts = Prompts::new(positive, negative, 6.0);
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, 1, 3.0)?, Solver::UniPc);
    let curve = TimingCurve::new((0..grid[0]).map(|f| f as f32 / grid[0] as f32).collect())?;
    let guidance = Guidance {
        steps: [0].into_iter().collect(),
        // Which here is the only one.
        after_last_step: true,
        updates: 1,
        threshold: f32::INFINITY,
        check_before: false,
        ..Guidance::default()
    };
    let groups = vec![TimedTokens { tokens: vec![1, 2], curve }];
    let control = Control { guidance: Some(guidance), ..Control::new(groups) };
    let guided = (!args.unguided).then_some(("guided step", Some(&control)));
    for (name, control) in [("denoising step", None)].into_iter().chain(guided) {
        let step = || {
            let go_on = |_: &Event| ControlFlow::Continue(());
            block_on(sample(&model, &latent, &prompts, &sampler, control, go_on)).map(drop)
        };
        time(&context, name, args.runs, step)?;
    }
    Ok(())
}

/// Wan 2.1 1.3B, but for the number of blocks and of text positions.
fn config(layers: usize, text: usize) -> Result<WanConfig> {
    let json = format!(
        r#"{{"model_type":"t2v","dim":1536,"ffn_dim":8960,"freq_dim":256,"text_dim":4096,"text_len":{text},
            "num_heads":12,"num_layers":{layers},"in_dim":16,"out_dim":16,"patch_size":[1,2,2],"eps":1e-6,
            "qk_norm":true,"cross_attn_norm":true}}"#
    );
    WanConfig::from_bytes("wan-1.3b", json.as_bytes())
}

/// Weights that keep values of order one through the network.
fn random_weights(config: &WanConfig) -> Result<WanWeights> {
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let planned = WanWeights::planned(config.clone());
    let store = planned.store();
    let mut tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = Vec::new();
    for name in store.names() {
        let shape = store.shape(name)?.dims().to_vec();
        let len: usize = shape.iter().product();
        // Matrices keep the size of what they multiply; vectors are weights of norms and biases.
        let (middle, width) = match shape.as_slice() {
            [_, inner @ ..] if !inner.is_empty() => {
                (0.0, (3.0 / inner.iter().product::<usize>() as f32).sqrt())
            }
            _ => (1.0, 0.1f32),
        };
        let bytes =
            (0..len).flat_map(|_| f32::to_le_bytes(middle + rng.random_range(-width..width))).collect();
        tensors.push((name, shape, bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap();
        (*name, view)
    });
    let file = safetensors::serialize(views, None).unwrap();
    WanWeights::new(&WeightStore::from_bytes("random weights", file)?, config.clone())
}

/// Runs a step, and prints what it takes.
fn time(context: &Context, name: &str, runs: usize, step: impl Fn() -> Result<()>) -> Result<()> {
    let wall = || -> Result<f64> {
        let start = Instant::now();
        step()?;
        block_on(context.finish())?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first = wall()?;
    context.reset_peak();
    let mut seconds = (0..runs.max(1)).map(|_| wall()).collect::<Result<Vec<_>>>()?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let peak = context.memory().peak as f64 / 1e9;
    println!(
        "\n{name}: {median:.3} s (first {first:.3}, least {:.3} of {}), peak {peak:.2} GB",
        seconds[0],
        runs.max(1)
    );
    if !context.set_timing(true) {
        println!("this adapter has no timestamps, so nothing is said about its kernels");
        return Ok(());
    }
    step()?;
    let timings = block_on(context.take_timings())?;
    context.set_timing(false);
    table(&timings, median);
    Ok(())
}

fn table(timings: &[Timing], wall: f64) {
    let mut kernels: BTreeMap<&str, (usize, f64, f64, f64)> = BTreeMap::new();
    for t in timings {
        let stem = t.kernel.split(' ').next().unwrap_or_default();
        let (count, seconds, flops, bytes) = kernels.entry(stem).or_default();
        *count += 1;
        *seconds += t.seconds;
        *flops += t.flops;
        *bytes += t.bytes;
    }
    let total = |of: fn(&Timing) -> f64| timings.iter().map(of).sum::<f64>();
    let (device, flops, bytes) = (total(|t| t.seconds), total(|t| t.flops), total(|t| t.bytes));
    let mut rows: Vec<_> = kernels.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    println!(
        "{:<28}{:>8}{:>12}{:>9}{:>12}{:>12}{:>10}",
        "kernel", "calls", "ms", "% device", "GFLOP", "GFLOP/s", "GB/s"
    );
    let line = |name: &str, (count, seconds, flops, bytes): (usize, f64, f64, f64)| {
        println!(
            "{name:<28}{count:>8}{:>12.3}{:>9.1}{:>12.2}{:>12.1}{:>10.2}",
            seconds * 1e3,
            100.0 * seconds / device,
            flops * 1e-9,
            flops / seconds * 1e-9,
            bytes / seconds * 1e-9
        );
    };
    rows.into_iter().for_each(|(name, row)| line(name, row));
    line("all", (timings.len(), device, flops, bytes));
    let host = (wall - device).max(0.0);
    println!(
        "host: {:.1} % of the wall clock ({:.1} µs for each of {} dispatches)",
        100.0 * host / wall,
        host * 1e6 / timings.len().max(1) as f64,
        timings.len()
    );
}
