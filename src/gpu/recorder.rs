//! The one recorder: dispatches and copies in order. What can be wrong with a command is found before it is recorded,
//! since a submission that the API refuses takes everything in it along.

use super::context::{Context, Inner, lock};
use super::error_scope::Scopes;
use super::memory::Buffer;
use super::pace;
use super::pipeline::{Access, Pipeline};
use super::track::{self, Track, Use};
use crate::{Error, Result};
use std::collections::HashMap;
use std::ops::Range;
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

impl Binding<'_> {
    fn bytes(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.size)
    }

    fn used(&self, access: Access) -> Use {
        let renews = access == Access::Write;
        Use { track: self.buffer.0.track.clone(), bytes: self.bytes(), access, renews }
    }
}

/// One dispatch to record.
pub(crate) struct Dispatch<'a> {
    pub(crate) pipeline: Arc<Pipeline>,
    /// What it does to each of its bindings.
    pub(crate) access: &'a [Access],
    pub(crate) bindings: &'a [Binding<'a>],
    pub(crate) params: &'a [u8],
    pub(crate) workgroups: [u32; 3],
    /// Work of this dispatch: floating-point operations and bytes moved.
    pub(crate) flops: f64,
    pub(crate) bytes: f64,
    /// The first of the dispatches that a kernel is cut into, or the only one.
    pub(crate) first: bool,
}

#[derive(Debug)]
pub(super) enum Command {
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
    Zero {
        buffer: wgpu::Buffer,
        offset: u64,
        size: u64,
    },
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) commands: Vec<Command>,
    /// Of each command, what it reads and writes.
    pub(super) uses: Vec<Vec<Use>>,
    /// Assumed and expected seconds of what is recorded.
    pub(super) assumed: HashMap<&'static str, f64>,
    pub(super) expected: f64,
    pub(super) dispatches: u64,
    pub(super) params_ring: Option<(wgpu::Buffer, wgpu::BindGroup, u64)>,
}

/// Commands kept before they are handed over, so that the device starts while the host still records.
const SUBMISSION_COMMANDS: usize = 256;
/// Cached bind groups; past this the cache starts afresh.
const BIND_GROUPS: usize = 8192;

fn refuse<T>(what: &str, reason: impl Into<String>) -> Result<T> {
    Err(Error::input(what, reason))
}

impl Context {
    /// Into how many dispatches a kernel's work is cut, so that each fits a submission and fills the device.
    pub(crate) fn cuts(&self, kernel: &str, workgroups: u64, flops: f64, bytes: f64) -> u64 {
        let assumed = pace::assumed(self.inner.rates(), [flops, bytes]);
        let expected = lock(&self.inner.pace).expected(kernel, assumed);
        pace::cuts(self.inner.caps.class, workgroups, expected)
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
        let pipeline = &dispatch.pipeline;
        inner.check_dispatch(&pipeline.label, dispatch.access, dispatch.bindings, dispatch.workgroups)?;
        let pairs = dispatch.bindings.iter().zip(dispatch.access);
        let mut uses: Vec<Use> = pairs.map(|(binding, access)| binding.used(*access)).collect();
        uses.iter_mut().for_each(|used| used.renews &= dispatch.first);
        self.in_order(dispatch.bindings.iter().map(|b| b.buffer));
        let bind_group = inner.bind_group(dispatch)?;
        let kernel = pipeline.key.stem;
        let assumed = pace::assumed(inner.rates(), [dispatch.flops, dispatch.bytes]);
        let expected = lock(&inner.pace).expected(kernel, assumed);
        let command = Command::Dispatch {
            pipeline: pipeline.clone(),
            bind_group,
            params: dispatch.params.to_vec(),
            workgroups: dispatch.workgroups,
            flops: dispatch.flops,
            bytes: dispatch.bytes,
        };
        let full = inner.record(command, uses, |recorder| {
            recorder.dispatches += 1;
            *recorder.assumed.entry(kernel).or_default() += assumed;
            recorder.expected += expected;
        })?;
        if full { inner.submit() } else { Ok(()) }
    }

    /// Records a copy between buffers of this context; offsets and size in bytes, multiples of 4.
    ///
    /// # Errors
    /// [`Error::Input`] for ranges past an end or inside a word, for a buffer copied onto itself, and for an app's buffer
    /// without COPY_SRC or COPY_DST; [`Error::Lost`] where the source was never computed.
    pub fn copy(&self, from: Binding<'_>, to: Binding<'_>) -> Result<()> {
        let inner = &self.inner;
        let size = from.size.min(to.size);
        let (from, to) = (Binding { size, ..from }, Binding { size, ..to });
        inner.check_copy("copy", &from, wgpu::BufferUsages::COPY_SRC)?;
        inner.check_copy("copy", &to, wgpu::BufferUsages::COPY_DST)?;
        if from.buffer.same(to.buffer) {
            return refuse("copy", "source and destination share a buffer");
        }
        if size == 0 || inner.plan {
            return Ok(());
        }
        self.in_order([from.buffer, to.buffer]);
        let command = Command::Copy {
            from: from.buffer.raw().clone(),
            from_offset: from.offset,
            to: to.buffer.raw().clone(),
            to_offset: to.offset,
            size,
        };
        inner.record(command, vec![from.used(Access::Read), to.used(Access::Write)], |_| ())?;
        Ok(())
    }

    /// Records that these bytes become zero; offset and size are multiples of 4.
    ///
    /// # Errors
    /// As for [`Context::copy`].
    pub fn zero(&self, bytes: Binding<'_>) -> Result<()> {
        let inner = &self.inner;
        inner.check_copy("zero", &bytes, wgpu::BufferUsages::COPY_DST)?;
        if bytes.size == 0 || inner.plan {
            return Ok(());
        }
        self.in_order([bytes.buffer]);
        let Binding { buffer, offset, size } = bytes;
        let command = Command::Zero { buffer: buffer.raw().clone(), offset, size };
        inner.record(command, vec![bytes.used(Access::Write)], |_| ())?;
        Ok(())
    }

    /// Writes bytes into a buffer of this context, in order with recorded work; the rest of the last word becomes zero.
    ///
    /// # Errors
    /// As for [`Context::copy`].
    pub fn upload(&self, to: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let inner = &self.inner;
        inner.alive()?;
        let padded;
        let bytes = if bytes.len().is_multiple_of(4) {
            bytes
        } else {
            padded = [bytes, &[0, 0, 0][..4 - bytes.len() % 4]].concat();
            &padded
        };
        let place = Binding { buffer: to, offset, size: bytes.len() as u64 };
        inner.check_copy("upload", &place, wgpu::BufferUsages::COPY_DST)?;
        self.in_order([to]);
        // Work recorded earlier may still read what lies there now, so it goes first.
        inner.submit()?;
        if inner.plan || bytes.is_empty() {
            return Ok(());
        }
        let uses = vec![place.used(Access::Write)];
        track::record(&uses);
        let scopes = Scopes::push(&inner.device);
        inner.queue.write_buffer(to.raw(), offset, bytes);
        let failed = scopes.pop_then(&mut lock(&inner.errors), super::submit::settled(vec![uses]));
        failed.map_or(Ok(()), |error| Err(inner.fault(error)))
    }

    /// Records a copy to where the host reads it, marked by `track`.
    pub(super) fn copy_out(&self, from: Binding<'_>, to: &wgpu::Buffer, track: Arc<Track>) -> Result<()> {
        self.inner.check_copy("read", &from, wgpu::BufferUsages::COPY_SRC)?;
        self.in_order([from.buffer]);
        let Binding { buffer, offset: from_offset, size } = from;
        let to_host = Use { track, bytes: 0..size, access: Access::Write, renews: true };
        let command =
            Command::Copy { from: buffer.raw().clone(), from_offset, to: to.clone(), to_offset: 0, size };
        self.inner.record(command, vec![from.used(Access::Read), to_host], |_| ())?;
        Ok(())
    }

    /// Apps' buffers may be used by several contexts of one device, each of which records for itself: what another
    /// recorded on one of these goes first.
    pub(super) fn in_order<'a>(&self, buffers: impl IntoIterator<Item = &'a Buffer>) {
        for buffer in buffers.into_iter().filter(|b| b.0.borrowed) {
            if let Some(other) = buffer.0.track.recorded(&self.inner)
                && let Err(error) = other.submit()
            {
                lock(&other.errors).push(error);
            }
        }
    }
}

impl Inner {
    /// Appends a command whose inputs are there. True where it is time to submit.
    fn record(&self, command: Command, uses: Vec<Use>, also: impl FnOnce(&mut Recorder)) -> Result<bool> {
        self.alive()?;
        for used in uses.iter().filter(|u| u.access != Access::Write) {
            used.track.require(&used.bytes)?;
        }
        track::record(&uses);
        let mut recorder = lock(&self.recorder);
        recorder.commands.push(command);
        recorder.uses.push(uses);
        also(&mut recorder);
        Ok(recorder.expected > pace::SUBMISSION_SECONDS || recorder.commands.len() >= SUBMISSION_COMMANDS)
    }

    /// An error for a buffer of another context.
    pub(super) fn own(&self, what: &str, buffer: &Buffer) -> Result<()> {
        if buffer.0.context == self.id {
            return Ok(());
        }
        refuse(what, "the buffer belongs to another context; `Tensor::to_context` copies between contexts")
    }

    /// What the API would find wrong with a range that is copied, when it is too late.
    pub(super) fn check_copy(
        &self,
        what: &str,
        place: &Binding<'_>,
        usage: wgpu::BufferUsages,
    ) -> Result<()> {
        let Binding { buffer, offset, size } = *place;
        self.own(what, buffer)?;
        if !offset.is_multiple_of(4) || !size.is_multiple_of(4) {
            return refuse(what, format!("{size} bytes from byte {offset}: both are multiples of 4"));
        }
        if offset.checked_add(size).is_none_or(|end| end > buffer.size()) {
            return refuse(
                what,
                format!("{size} bytes from byte {offset}, the buffer has {}", buffer.size()),
            );
        }
        if !buffer.raw().usage().contains(usage) {
            let name = if usage == wgpu::BufferUsages::COPY_SRC { "COPY_SRC" } else { "COPY_DST" };
            return refuse(what, format!("the app's buffer was made without the usage {name}"));
        }
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
            self.own(label, b.buffer)?;
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
            if b.offset.checked_add(b.size).is_none_or(|end| end > b.buffer.size()) {
                let (size, offset, has) = (b.size, b.offset, b.buffer.size());
                return refuse(
                    label,
                    format!("binding {i} of {size} bytes from byte {offset}, the buffer has {has}"),
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
        let failed = scopes.pop(&mut lock(&self.errors));
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
}
