//! Hands recorded work to the device: few passes, parameters in one buffer or as immediates, and an account of what became
//! of it.

use super::device::Device;
use super::error_scope::{MaybeSend, Scopes, describe};
use super::pace::Pacer;
use super::pipeline::params_layout;
use super::recorder::{Command, Recorder, State};
use super::timing::{Batch, Planned, Timings};
use super::track::{self, Use};
use crate::{Error, Result};
use std::sync::Arc;

/// For the outcome of API calls that make these uses of buffers: marks what was lost, and hands the error on.
pub(super) fn settled(uses: Vec<Vec<Use>>) -> impl FnOnce(Option<wgpu::Error>) -> Option<Error> + MaybeSend {
    move |error| {
        let error = error.map(describe);
        let fault: Option<Arc<str>> = error.as_ref().map(|error| error.to_string().into());
        if fault.is_some() || track::any_losses() {
            uses.iter().for_each(|uses| track::settle(uses, fault.as_ref()));
        }
        error
    }
}

/// Encodes and submits everything recorded. Returns the first error known by now.
pub(super) fn submit(device: &Device, recorder: &Recorder, timings: &Timings, pacer: &Pacer) -> Result<()> {
    pacer.poll(device);
    device.alive()?;
    let mut state = recorder.hold();
    let recorded = state.take();
    if recorded.commands.is_empty() {
        drop(state);
        return device.first_error();
    }
    let commands = &recorded.commands;
    let scopes = Scopes::push(&device.raw);
    // Both belong to this submission: what was handed over before has been copied or read when they are written.
    let offsets = write_params(device, &mut state, commands);
    let ring = state.params_ring.as_ref().map(|(_, group, _)| group.clone());
    let written = write_bytes(device, &mut state, commands);
    let extra = Extra { offsets: &offsets, ring: ring.as_ref(), written: written.as_ref() };
    let mut encoder =
        device.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveal") });
    if timings.on() {
        encode_timed(device, &mut encoder, commands, &extra, timings);
    } else {
        encode(&mut encoder, commands, &extra);
    }
    device.queue.submit([encoder.finish()]);
    pacer.submitted(&device.queue, recorded.assumed);
    let mut errors = device.errors();
    let failed = scopes.pop_then(&mut errors, settled(recorded.uses)).or_else(|| errors.take());
    drop(errors);
    if failed.is_some() {
        // One of them may be what there was no memory for.
        (state.writes, state.params_ring) = (None, None);
    }
    drop(state);
    failed.map_or(Ok(()), |error| Err(device.fault(error)))
}

/// What commands refer to beside themselves.
#[derive(Clone, Copy)]
struct Extra<'a> {
    /// Of each command, where its parameters or bytes begin.
    offsets: &'a [u32],
    /// Parameters.
    ring: Option<&'a wgpu::BindGroup>,
    /// Bytes that are written.
    written: Option<&'a wgpu::Buffer>,
}

impl Extra<'_> {
    fn offset(&self, i: usize) -> u32 {
        self.offsets.get(i).copied().unwrap_or(0)
    }
}

/// Writes the bytes of [`Command::Write`] where commands copy them from; each begins where the ones before end.
fn write_bytes(device: &Device, state: &mut State, commands: &[Command]) -> Option<wgpu::Buffer> {
    let bytes: Vec<&[u8]> = commands
        .iter()
        .filter_map(|c| if let Command::Write { bytes, .. } = c { Some(&bytes[..]) } else { None })
        .collect();
    let bytes = bytes.concat();
    if bytes.is_empty() {
        return None;
    }
    let needed = bytes.len() as u64;
    if state.writes.as_ref().is_none_or(|(_, size)| *size < needed) {
        let size = needed.next_power_of_two();
        let buffer = device.raw.create_buffer(&wgpu::BufferDescriptor {
            label: Some("writes"),
            size,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        state.writes = Some((buffer, size));
    }
    let (buffer, _) = state.writes.as_ref()?;
    device.queue.write_buffer(buffer, 0, &bytes);
    Some(buffer.clone())
}

/// Writes the parameters of commands whose pipeline reads them from the uniform ring; one offset per command.
fn write_params(device: &Device, state: &mut State, commands: &[Command]) -> Vec<u32> {
    let align = device.caps.uniform_alignment as usize;
    let mut bytes = Vec::new();
    let mut offsets = Vec::with_capacity(commands.len());
    let mut written = 0;
    for command in commands {
        if let Command::Write { bytes, .. } = command {
            offsets.push(written);
            written += bytes.len() as u32;
            continue;
        }
        offsets.push(bytes.len() as u32);
        if let Command::Dispatch { pipeline, params, .. } = command
            && !pipeline.immediate
        {
            bytes.extend_from_slice(params);
            bytes.resize(bytes.len().next_multiple_of(align), 0);
        }
    }
    if bytes.is_empty() {
        return offsets;
    }
    // A binding reaches past its own parameters, so the buffer ends with one spare slot.
    let needed = (bytes.len() + 256) as u64;
    if state.params_ring.as_ref().is_none_or(|(_, _, size)| *size < needed) {
        let size = needed.next_power_of_two();
        let buffer = device.raw.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let group = device.raw.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("params"),
            layout: &params_layout(device),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffer,
                    offset: 0,
                    size: std::num::NonZero::new(256),
                }),
            }],
        });
        state.params_ring = Some((buffer, group, size));
    }
    if let Some((buffer, _, _)) = &state.params_ring {
        device.queue.write_buffer(buffer, 0, &bytes);
    }
    offsets
}

fn encode_timed(
    device: &Device,
    encoder: &mut wgpu::CommandEncoder,
    commands: &[Command],
    extra: &Extra<'_>,
    timings: &Timings,
) {
    let labels: Vec<Planned> = commands
        .iter()
        .filter_map(|c| match c {
            Command::Dispatch { pipeline, flops, bytes, .. } => {
                Some((pipeline.label.clone(), *flops, *bytes))
            }
            Command::Copy { .. } | Command::Zero { .. } | Command::Write { .. } => None,
        })
        .collect();
    let Some(batch) = Batch::new(&device.raw, labels) else {
        encode(encoder, commands, extra);
        return;
    };
    let mut query = 0;
    for (i, command) in commands.iter().enumerate() {
        match command {
            Command::Copy { .. } | Command::Zero { .. } | Command::Write { .. } => {
                let own = Extra { offsets: &[extra.offset(i)], ..*extra };
                encode(encoder, std::slice::from_ref(command), &own);
            }
            Command::Dispatch { .. } => {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(batch.writes(query)),
                });
                encode_dispatch(&mut pass, command, extra.offset(i), extra.ring);
                query += 2;
            }
        }
    }
    batch.resolve(encoder);
    timings.push(batch);
}

fn encode(encoder: &mut wgpu::CommandEncoder, commands: &[Command], extra: &Extra<'_>) {
    let mut i = 0;
    while let Some(command) = commands.get(i) {
        match command {
            Command::Copy { from, from_offset, to, to_offset, size } => {
                encoder.copy_buffer_to_buffer(from, *from_offset, to, *to_offset, *size);
                i += 1;
            }
            Command::Zero { buffer, offset, size } => {
                encoder.clear_buffer(buffer, *offset, Some(*size));
                i += 1;
            }
            Command::Write { to, to_offset, bytes } => {
                if let Some(from) = extra.written {
                    let at = extra.offset(i).into();
                    encoder.copy_buffer_to_buffer(from, at, to, *to_offset, bytes.len() as u64);
                }
                i += 1;
            }
            Command::Dispatch { .. } => {
                let mut pass = encoder
                    .begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
                while let Some(dispatch @ Command::Dispatch { .. }) = commands.get(i) {
                    encode_dispatch(&mut pass, dispatch, extra.offset(i), extra.ring);
                    i += 1;
                }
            }
        }
    }
}

fn encode_dispatch(
    pass: &mut wgpu::ComputePass<'_>,
    command: &Command,
    offset: u32,
    ring: Option<&wgpu::BindGroup>,
) {
    let Command::Dispatch { pipeline, bind_group, params, workgroups: [x, y, z], .. } = command else {
        return;
    };
    pass.set_pipeline(&pipeline.raw);
    pass.set_bind_group(0, bind_group, &[]);
    match ring {
        Some(ring) if !pipeline.immediate => pass.set_bind_group(1, ring, &[offset]),
        _ if params.is_empty() => {}
        _ => pass.set_immediates(0, params),
    }
    pass.dispatch_workgroups(*x, *y, *z);
}
