//! Attention inside an app: its own wgpu device and buffer, a word hidden from some frames, the word's column of the
//! map read without the map, and a gradient sent into it.

use foveal::autograd::{Attend, Tape, Var};
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mask, Readout, Tables};
use foveal::{Context, ContextOptions, Dtype, HostTensor, Result, Tensor};

async fn run() -> Result<()> {
    // The app has its own device; here it makes one with WebGPU's default limits.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let no_device = |e: String| foveal::Error::NoAdapter(e);
    let adapter =
        instance.request_adapter(&Default::default()).await.map_err(|e| no_device(e.to_string()))?;
    let (device, queue) =
        adapter.request_device(&Default::default()).await.map_err(|e| no_device(e.to_string()))?;
    // (frames × tokens of a frame) queries look at 8 words, with 4 heads of 32.
    let (frames, tokens, words, heads, head_dim) = (6, 64, 8, 4, 32);
    let shape =
        AttentionShape { batch: 1, heads, kv_heads: heads, seq_q: frames * tokens, seq_kv: words, head_dim };
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let size = (shape.seq_q * heads * head_dim * 4) as u64;
    let queries =
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let values: Vec<f32> = (0..size / 4).map(|i| (i as f32 * 0.37).sin()).collect();
    queue.write_buffer(&queries, 0, bytemuck::cast_slice(&values));

    let context = Context::from_device(device, queue, &ContextOptions::default())?;
    let mut tape = Tape::record();
    let dims = [1, shape.seq_q, heads, head_dim];
    let q = tape.leaf(Tensor::from_app_buffer(&context, &queries, 0, dims, Dtype::F32)?);
    let text: Vec<f32> = (0..words * heads * head_dim).map(|i| (i as f32 * 0.61).cos()).collect();
    let text = HostTensor::new([1, words, heads, head_dim], text)?;
    let k = Var::constant(Tensor::from_host(&context, &text)?);

    // Word 3 is hidden from the first half of the frames; its column is read.
    let mut bias = vec![0.0; frames * words];
    (0..frames / 2).for_each(|frame| bias[frame * words + 3] = f32::NEG_INFINITY);
    let mut columns = vec![0.0; words];
    columns[3] = 1.0;
    let problem = AttentionProblem {
        mask: Mask::Temporal { tokens_per_frame: tokens },
        readout: Readout { columns: 1, ..Readout::default() },
        ..AttentionProblem::new(shape)
    };
    let tables = Tables { mask: &bias, columns: &columns, ..Tables::default() }.upload(&context, &problem)?;
    let map = Var::constant(Tensor::zeros(&context, [1, 1, shape.seq_q])?);
    let attended =
        tape.attend(Attend { problem: &problem, q: &q, k: &k, v: &k, tables: &tables, columns: Some(&map) })?;
    let column = attended.columns.unwrap_or(map);
    for (frame, seen) in column.tensor().to_vec().await?.chunks(tokens).enumerate() {
        println!(
            "frame {frame}: the word holds {:5.1} % of the attention",
            100.0 * seen.iter().sum::<f32>() / tokens as f32
        );
    }
    // More attention to the word everywhere: a gradient of one on its column.
    let ones = Tensor::from_f32(&context, [1, 1, shape.seq_q], &vec![1.0; shape.seq_q])?;
    let gradient = tape.backward(&[(&column, ones)])?.of(&q)?.map(|g| g.to_owned_copy()).transpose()?;
    let steepest = gradient
        .ok_or_else(|| no_device("no gradient".into()))?
        .to_vec()
        .await?
        .into_iter()
        .fold(0f32, |m, v| m.max(v.abs()));
    println!("largest gradient by a query: {steepest:.2e}; on {}", context.caps());
    Ok(())
}

fn main() -> Result<()> {
    pollster::block_on(run())
}
