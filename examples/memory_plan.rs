//! What a clip needs in device memory, before any device is touched.
//!
//! `cargo run --release --example memory_plan -- --size 832x480x81 --precision bf16 --budget 15`
//!
//! The plan is a dry run of the code that makes the clip, so it holds for every shape and setting. `--compare` prints the
//! peak for every precision and setting that saves memory.

use clap::{Parser, ValueEnum};
use foveal::autograd::Keep;
use foveal::models::umt5::Umt5Config;
use foveal::models::wan::WanConfig;
use foveal::nn::Precision;
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::memory_plan::{MemoryPlan, PlanRequest, memory_plan};
use foveal::pipelines::text_to_video::temporal_control::{Control, Guidance, TimedTokens};
use foveal::{Caps, Error, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Says what a clip needs in device memory, before any device is touched: a dry run of the code that makes it.
#[derive(Debug, Parser)]
#[command(name = "memory_plan")]
struct Args {
    /// Sizes of a released model, and of its text encoder
    #[arg(long, value_enum, default_value = "wan-1.3b")]
    preset: Preset,
    /// The config.json of another transformer behind Wan's VAE
    #[arg(long)]
    config: Option<PathBuf>,
    /// Pixels and frames, WIDTHxHEIGHTxFRAMES; latent sizes follow from Wan's VAE (8, 8 and 4 to one)
    #[arg(long, default_value = "832x480x81")]
    size: String,
    /// f32, bf16, f16, bf16-weights or f16-weights
    #[arg(long, default_value = "bf16")]
    precision: Precision,
    /// Without the gradient into the map
    #[arg(long)]
    unguided: bool,
    /// Keep nothing but block inputs for the gradient: less memory, one more forward pass
    #[arg(long)]
    recompute: bool,
    /// Rows that the feed-forward layers take at a time
    #[arg(long, value_parser = at_least_one)]
    rows: Option<usize>,
    /// The text encoder stays on the device too
    #[arg(long)]
    text_encoder: bool,
    /// Fail where more than this many GB (10⁹ bytes) are needed
    #[arg(long, value_parser = gigabytes)]
    budget: Option<f64>,
    /// Print the peak for every precision and setting
    #[arg(long)]
    compare: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    #[value(name = "wan-1.3b")]
    Wan1B,
    #[value(name = "wan-14b")]
    Wan14B,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let (transformer, encoder) = configs(args)?;
    let size = latent(&args.size)?;
    let request = |precision, recompute, rows| {
        let keep = if recompute { Keep::Nothing } else { Keep::Attention };
        let guidance = (!args.unguided).then(|| Guidance { keep, ..Guidance::default() });
        Ok::<_, Error>(PlanRequest {
            text_encoder: args.text_encoder.then(|| encoder.clone()),
            precision,
            control: match guidance {
                Some(_) => Some(Control { guidance, ..Control::new(vec![word(size[0])?]) }),
                None => None,
            },
            rows_at_a_time: rows,
            ..PlanRequest::new(transformer.clone(), size)
        })
    };
    let plan = |precision, recompute, rows| -> Result<MemoryPlan> {
        foveal::block_on(memory_plan(&request(precision, recompute, rows)?, any_gpu()))
    };
    if args.compare {
        println!("{:<16}{:>14}{:>14}{:>14}{:>18}", "precision", "plain", "recompute", "4096 rows", "both");
        for precision in [Precision::F32, Precision::BF16_WEIGHTS, Precision::BF16] {
            let peaks = [(false, None), (true, None), (false, Some(4096)), (true, Some(4096))];
            print!("{:<16}", precision.to_string());
            for (i, (recompute, rows)) in peaks.into_iter().enumerate() {
                let gigabytes = plan(precision, recompute, rows)?.peak() as f64 / 1e9;
                print!("{:>width$.2} GB", gigabytes, width = if i == 3 { 15 } else { 11 });
            }
            println!();
        }
        return Ok(());
    }
    let planned = plan(args.precision, args.recompute, args.rows)?;
    let [frames, height, width] = size;
    println!(
        "{} blocks of width {}, latent {frames}×{height}×{width}, {}, {}",
        transformer.num_layers,
        transformer.dim,
        args.precision,
        if args.unguided { "no gradient" } else { "gradient into the map" }
    );
    println!("{planned}");
    match args.budget {
        Some(gigabytes) => planned.require((gigabytes * 1e9) as u64),
        None => Ok(()),
    }
}

fn configs(args: &Args) -> Result<(WanConfig, Umt5Config)> {
    let (dim, ffn, heads, layers) = match args.preset {
        Preset::Wan1B => (1536, 8960, 12, 30),
        Preset::Wan14B => (5120, 13824, 40, 40),
    };
    let transformer = format!(
        r#"{{"model_type":"t2v","dim":{dim},"ffn_dim":{ffn},"freq_dim":256,"text_dim":4096,"text_len":512,
            "num_heads":{heads},"num_layers":{layers},"in_dim":16,"out_dim":16,"patch_size":[1,2,2],"eps":1e-6,
            "qk_norm":true,"cross_attn_norm":true}}"#
    );
    let encoder =
        br#"{"model_type":"umt5","vocab_size":256384,"d_model":4096,"d_kv":64,"d_ff":10240,"num_heads":64,
        "num_layers":24,"relative_attention_num_buckets":32,"relative_attention_max_distance":128,
        "layer_norm_epsilon":1e-6,"feed_forward_proj":"gated-gelu"}"#;
    let transformer = match &args.config {
        Some(path) => WanConfig::open(path)?,
        None => WanConfig::from_bytes("preset", transformer.as_bytes())?,
    };
    Ok((transformer, Umt5Config::from_bytes("preset", encoder)?))
}

/// Latent frames, height and width of `WIDTHxHEIGHTxFRAMES`.
fn latent(text: &str) -> Result<[usize; 3]> {
    let bad = || {
        let rule = "WIDTHxHEIGHTxFRAMES, multiples of 16 and 4n + 1 frames, such as 832x480x81";
        Error::input("--size", format!("`{text}` is not {rule}"))
    };
    let numbers: Vec<usize> = text.split('x').map(|n| n.parse().map_err(|_| bad())).collect::<Result<_>>()?;
    match *numbers.as_slice() {
        [w, h, f] if w >= 16 && h >= 16 && w % 16 == 0 && h % 16 == 0 && f % 4 == 1 => {
            Ok([(f - 1) / 4 + 1, h / 8, w / 8])
        }
        _ => Err(bad()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|rows| *rows > 0)
        .ok_or_else(|| "a whole number of at least 1 was expected".into())
}

fn gigabytes(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|gb: &f64| gb.is_finite() && *gb > 0.0);
    number.ok_or_else(|| "a number of GB above 0 was expected, such as 15 or 7.5".into())
}

/// One word that comes in the second half.
fn word(frames: usize) -> Result<TimedTokens> {
    let curve = TimingCurve::new((0..frames).map(|f| if 2 * f >= frames { 1.0 } else { 0.0 }).collect())?;
    Ok(TimedTokens { tokens: vec![1], curve })
}

/// A desktop GPU's limits: bindings and buffers of up to 4 GiB.
fn any_gpu() -> Caps {
    Caps::webgpu_default().with(|caps| {
        caps.f16 = true;
        caps.max_buffer = 4 << 30;
        caps.max_binding = caps.max_buffer - 4;
    })
}
