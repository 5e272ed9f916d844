//! Attention inside an app: its own wgpu device and buffer, a word hidden from some frames, the word's column of the
//! map read without the map, and a gradient sent into it.

use clap::Parser;
use foveal::autograd::{Attend, Tape, Var};
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mask, Readout, Tables};
use foveal::{Context, ContextOptions, Dtype, HostTensor, Tensor};
use std::process::ExitCode;

/// Reads and steers a word's column of attention on a device that an app has made, and prints what came of it. It takes no
/// arguments; the source is what it is for.
#[derive(Debug, Parser)]
#[command(name = "embed")]
struct Args {}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    // The app has its own device and buffer; here both are made on the spot, with WebGPU's default limits.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&Default::default()).await?;
    let (device, queue) = adapter.request_device(&Default::default()).await?;
    // (frames × tokens of a frame) queries look at 8 words, with 4 heads of 32.
    let (frames, tokens, words, heads, head_dim) = (6, 64, 8, 4, 32);
    let seq_q = frames * tokens;
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let size = (seq_q * heads * head_dim * 4) as u64;
    let buffer = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let queries = device.create_buffer(&buffer);
    let values: Vec<f32> = (0..size / 4).map(|i| (i as f32 * 0.37).sin()).collect();
    queue.write_buffer(&queries, 0, bytemuck::cast_slice(&values));

    let context = Context::from_device(device, queue, ContextOptions::default()).await?;
    let mut tape = Tape::record();
    let q = Tensor::from_app_buffer(&context, &queries, 0, [1, seq_q, heads, head_dim], Dtype::F32)?;
    let q = tape.leaf(q);
    let text: Vec<f32> = (0..words * heads * head_dim).map(|i| (i as f32 * 0.61).cos()).collect();
    let k = Tensor::from_host(&context, &HostTensor::new([1, words, heads, head_dim], text)?)?;
    let k = Var::constant(k);

    // Word 3 is hidden from the first half of the frames; its column is read.
    let mut bias = vec![0.0; frames * words];
    (0..frames / 2).for_each(|frame| bias[frame * words + 3] = f32::NEG_INFINITY);
    let columns = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    let shape = AttentionShape { batch: 1, heads, kv_heads: heads, seq_q, seq_kv: words, head_dim };
    let problem = AttentionProblem {
        mask: Mask::Temporal { tokens_per_frame: tokens },
        readout: Readout::default().with_groups(1),
        ..AttentionProblem::new(shape)
    };
    let tables = Tables::default().with_mask(bias).with_columns(columns).upload(&context, &problem)?;
    let call = Attend::new(&problem, &q, &k, &k).with_tables(&tables);
    let column = tape.attend(&call)?.columns.ok_or("no column")?;
    for (frame, seen) in column.tensor().to_vec().await?.chunks(tokens).enumerate() {
        let share = 100.0 * seen.iter().sum::<f32>() / tokens as f32;
        println!("frame {frame}: the word holds {share:.1} % of the attention");
    }
    // Wish for more attention to the word everywhere: a gradient of one on its column.
    let ones = Tensor::from_f32(&context, [1, 1, seq_q], &vec![1.0; seq_q])?;
    let gradient = tape.backward(&[(&column, ones)])?.of(&q)?.ok_or("no gradient")?.to_vec().await?;
    println!("largest gradient by a query: {:.2e}", gradient.iter().fold(0f32, |m, v| m.max(v.abs())));
    Ok(())
}

fn main() -> ExitCode {
    let Args {} = Args::parse();
    match foveal::block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
