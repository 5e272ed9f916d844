//! The one recorder: dispatches and copies in order, few passes, submissions short enough for a watchdog.

use super::context::{Context, Inner, lock};
use super::error_scope::Scopes;
use super::memory::Buffer;
use super::pipeline::{Access, Pipeline};
use super::timing::Planned;
use crate::{Error, Result};
use std::sync::Arc;

/// Part of a buffer, as a kernel sees it.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The buffer.
    pub buffer: &'a Buffer,
    /// First byte; a multiple of [`crate::Caps::offset_alignment`].
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// One dispatch to record.
pub(crate) struct Dispatch<'a> {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) bindings: &'a [Binding<'a>],
    pub(crate) params: &'a [u8],
    pub(crate) workgroups: [u32; 3],
    /// Work of this dispatch: floating-point operations and bytes moved.
    pub(crate) flops: f64,
    pub(crate) bytes: f64,
}

#[derive(Debug)]
enum Command {
    Dispatch {
        pipeline: Arc<Pipeline>,
        bind_group: wgpu::BindGroup,
        params: Vec<u8>,
        workgroups: [u32; 3],
        flops: f64,
        bytes: f64,
    },
    Copy {
        from: wgpu::Buffer,
        from_offset: u64,
        to: wgpu::Buffer,
        to_offset: u64,
        size: u64,
    },
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    commands: Vec<Command>,
    estimated_seconds: f64,
    pub(super) dispatches: u64,
    params_ring: Option<(wgpu::Buffer, wgpu::BindGroup, u64)>,
}

/// A submission is closed after this much estimated work. Desktop watchdogs bite after about two seconds.
const SUBMISSION_SECONDS: f64 = 0.25;
/// Commands kept before they are handed over, so that the device starts while the host still records.
const SUBMISSION_COMMANDS: usize = 256;
/// Cached bind groups; past this the cache starts afresh.
const BIND_GROUPS: usize = 8192;

impl Context {
    /// Into how many dispatches work of this size is cut so that each fits a submission.
    pub(crate) fn cuts(&self, flops: f64, bytes: f64) -> u32 {
        let (flop_rate, byte_rate) = self.inner.caps.assumed_rates();
        let seconds = (flops / flop_rate).max(bytes / byte_rate);
        (seconds / SUBMISSION_SECONDS).ceil().clamp(1.0, 65_535.0) as u32
    }

    /// For a dry run: refuses what the device would refuse, and compiles and records nothing.
    pub(crate) fn rehearse(
        &self,
        label: &str,
        access: &[Access],
        bindings: &[Binding<'_>],
        workgroups: [u32; 3],
    ) -> Result<()> {
        if workgroups.contains(&0) {
            return Ok(());
        }
        self.inner.check_dispatch(label, access, bindings, workgroups)?;
        lock(&self.inner.recorder).dispatches += 1;
        Ok(())
    }

    /// Records a dispatch.
    pub(crate) fn dispatch(&self, dispatch: &Dispatch<'_>) -> Result<()> {
        let inner = &self.inner;
        inner.alive()?;
        if dispatch.workgroups.contains(&0) {
            return Ok(());
        }
        inner.check_dispatch(
            &dispatch.pipeline.label,
            &dispatch.pipeline.access,
            dispatch.bindings,
            dispatch.workgroups,
        )?;
        let bind_group = inner.bind_group(dispatch)?;
        let (flop_rate, byte_rate) = inner.caps.assumed_rates();
        let mut recorder = lock(&inner.recorder);
        recorder.dispatches += 1;
        recorder.estimated_seconds += (dispatch.flops / flop_rate).max(dispatch.bytes / byte_rate);
        recorder.commands.push(Command::Dispatch {
            pipeline: dispatch.pipeline.clone(),
            bind_group,
            params: dispatch.params.to_vec(),
            workgroups: dispatch.workgroups,
            flops: dispatch.flops,
            bytes: dispatch.bytes,
        });
        let full =
            recorder.estimated_seconds > SUBMISSION_SECONDS || recorder.commands.len() >= SUBMISSION_COMMANDS;
        drop(recorder);
        if full { inner.submit() } else { Ok(()) }
    }

    /// Records a copy between buffers; offsets and size in bytes, multiples of 4.
    pub fn copy(&self, from: Binding<'_>, to: Binding<'_>) -> Result<()> {
        self.inner.copy_raw(
            from.buffer.raw(),
            from.offset,
            to.buffer.raw(),
            to.offset,
            from.size.min(to.size),
        )
    }

    /// Writes bytes into a buffer, in order with recorded work.
    pub fn upload(&self, to: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        // Work recorded earlier may still read what lies there now, so it goes first.
        self.inner.submit()?;
        if self.inner.plan {
            return Ok(());
        }
        let padded;
        let bytes = if bytes.len().is_multiple_of(4) {
            bytes
        } else {
            padded = [bytes, &[0, 0, 0][..4 - bytes.len() % 4]].concat();
            &padded
        };
        let scopes = Scopes::push(&self.inner.device);
        self.inner.queue.write_buffer(to.raw(), offset, bytes);
        let failed = scopes.pop(&mut lock(&self.inner.errors), super::error_scope::describe);
        failed.map_or(Ok(()), |error| Err(self.inner.fault(error)))
    }
}

impl Inner {
    pub(super) fn copy_raw(
        &self,
        from: &wgpu::Buffer,
        from_offset: u64,
        to: &wgpu::Buffer,
        to_offset: u64,
        size: u64,
    ) -> Result<()> {
        self.alive()?;
        if self.plan {
            return Ok(());
        }
        let command = Command::Copy { from: from.clone(), from_offset, to: to.clone(), to_offset, size };
        lock(&self.recorder).commands.push(command);
        Ok(())
    }

    fn check_dispatch(
        &self,
        label: &str,
        access: &[Access],
        bindings: &[Binding<'_>],
        workgroups: [u32; 3],
    ) -> Result<()> {
        let unsupported = |what: String, reason: String| {
            Err(Error::Unsupported { what, adapter: self.caps.adapter.clone(), reason })
        };
        if workgroups.iter().any(|&n| n > self.caps.max_workgroups) {
            return unsupported(
                format!("{label} with {workgroups:?} workgroups"),
                format!("at most {} along an axis", self.caps.max_workgroups),
            );
        }
        for (i, b) in bindings.iter().enumerate() {
            if b.size > self.caps.max_binding {
                return unsupported(
                    format!("{label}: binding {i} of {} bytes", b.size),
                    format!("its largest binding is {} bytes", self.caps.max_binding),
                );
            }
            if !b.offset.is_multiple_of(self.caps.offset_alignment) {
                return unsupported(
                    format!("{label}: binding {i} at offset {}", b.offset),
                    format!("offsets are multiples of {}", self.caps.offset_alignment),
                );
            }
            let writes = access.get(i).is_some_and(|a| *a != Access::Read);
            let shared = bindings.iter().enumerate().any(|(j, o)| i != j && o.buffer.same(b.buffer));
            if writes && shared {
                return Err(Error::Gpu(format!(
                    "{label}: binding {i} is written and its buffer is bound twice"
                )));
            }
        }
        Ok(())
    }

    fn bind_group(&self, d: &Dispatch<'_>) -> Result<wgpu::BindGroup> {
        let parts = d.bindings.iter().map(|b| (b.buffer.0.id, b.offset, b.size)).collect();
        let key = (d.pipeline.key, parts);
        let mut cache = lock(&self.bind_groups);
        if let Some(found) = cache.get(&key) {
            return Ok(found.clone());
        }
        if cache.len() >= BIND_GROUPS {
            cache.clear();
        }
        let entries: Vec<_> = (0u32..)
            .zip(d.bindings)
            .map(|(binding, b)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: b.buffer.raw(),
                    offset: b.offset,
                    size: std::num::NonZero::new(b.size),
                }),
            })
            .collect();
        let scopes = Scopes::push(&self.device);
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&d.pipeline.label),
            layout: &d.pipeline.layout,
            entries: &entries,
        });
        let failed = scopes.pop(&mut lock(&self.errors), super::error_scope::describe);
        if let Some(error) = failed {
            // Asking for the loss of the device may call back into this context.
            drop(cache);
            return Err(self.fault(error));
        }
        // An app's buffer is the app's to free; a cached group would keep it.
        if !d.bindings.iter().any(|b| b.buffer.0.borrowed) {
            cache.insert(key, group.clone());
        }
        Ok(group)
    }

    /// Encodes and submits everything recorded. Returns the first error known by now.
    pub(super) fn submit(&self) -> Result<()> {
        self.look_for_loss();
        self.alive()?;
        let mut recorder = lock(&self.recorder);
        let commands = std::mem::take(&mut recorder.commands);
        recorder.estimated_seconds = 0.0;
        if commands.is_empty() {
            drop(recorder);
            return lock(&self.errors).take().map_or(Ok(()), Err);
        }
        let scopes = Scopes::push(&self.device);
        let offsets = self.write_params(&mut recorder, &commands);
        let ring = recorder.params_ring.as_ref().map(|(_, group, _)| group.clone());
        // The recorder stays locked until the queue has the work: two threads must not swap their order.
        let mut encoder =
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveal") });
        let mut timings = lock(&self.timings);
        if timings.on {
            self.encode_timed(&mut encoder, &commands, &offsets, ring.as_ref(), &mut timings);
        } else {
            encode(&mut encoder, &commands, &offsets, ring.as_ref());
        }
        drop(timings);
        self.queue.submit([encoder.finish()]);
        drop(recorder);
        let mut errors = lock(&self.errors);
        let failed = scopes.pop(&mut errors, super::error_scope::describe).or_else(|| errors.take());
        drop(errors);
        failed.map_or(Ok(()), |error| Err(self.fault(error)))
    }

    /// Writes the parameters of commands whose pipeline reads them from the uniform ring; one offset per command.
    fn write_params(&self, recorder: &mut Recorder, commands: &[Command]) -> Vec<u32> {
        let align = self.caps.uniform_alignment as usize;
        let mut bytes = Vec::new();
        let mut offsets = Vec::with_capacity(commands.len());
        for command in commands {
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
        if recorder.params_ring.as_ref().is_none_or(|(_, _, size)| *size < needed) {
            let size = needed.next_power_of_two();
            let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("params"),
                size,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("params"),
                layout: &self.params_layout(),
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &buffer,
                        offset: 0,
                        size: std::num::NonZero::new(256),
                    }),
                }],
            });
            recorder.params_ring = Some((buffer, group, size));
        }
        if let Some((buffer, _, _)) = &recorder.params_ring {
            self.queue.write_buffer(buffer, 0, &bytes);
        }
        offsets
    }

    fn encode_timed(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        commands: &[Command],
        offsets: &[u32],
        ring: Option<&wgpu::BindGroup>,
        timings: &mut super::timing::Timings,
    ) {
        let labels: Vec<Planned> = commands
            .iter()
            .filter_map(|c| match c {
                Command::Dispatch { pipeline, flops, bytes, .. } => {
                    Some((pipeline.label.clone(), *flops, *bytes))
                }
                Command::Copy { .. } => None,
            })
            .collect();
        let Some(batch) = timings.batch(&self.device, labels) else {
            encode(encoder, commands, offsets, ring);
            return;
        };
        let mut query = 0;
        for (command, offset) in commands.iter().zip(offsets) {
            match command {
                Command::Copy { .. } => encode(encoder, std::slice::from_ref(command), &[0], ring),
                Command::Dispatch { .. } => {
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: Some(batch.writes(query)),
                    });
                    encode_dispatch(&mut pass, command, *offset, ring);
                    query += 2;
                }
            }
        }
        batch.resolve(encoder);
        timings.pending.push(batch);
    }
}

fn encode(
    encoder: &mut wgpu::CommandEncoder,
    commands: &[Command],
    offsets: &[u32],
    ring: Option<&wgpu::BindGroup>,
) {
    let mut i = 0;
    while let Some(command) = commands.get(i) {
        if let Command::Copy { from, from_offset, to, to_offset, size } = command {
            encoder.copy_buffer_to_buffer(from, *from_offset, to, *to_offset, *size);
            i += 1;
            continue;
        }
        let mut pass =
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
        while let Some(dispatch @ Command::Dispatch { .. }) = commands.get(i) {
            encode_dispatch(&mut pass, dispatch, offsets.get(i).copied().unwrap_or(0), ring);
            i += 1;
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
