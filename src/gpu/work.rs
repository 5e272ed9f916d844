//! Work that a context does: dispatches, copies, uploads and downloads, each checked before it is recorded.

use super::bind_groups::Bound;
use super::checks;
use super::context::{Context, Inner};
use super::error_scope::Scopes;
use super::memory::{Binding, Buffer};
use super::pipeline::{Pipeline, PipelineKey, PipelineSource};
use super::readback;
use super::recorder::{Command, RECORDED_WRITE};
use super::rehearsed::Later;
use super::submit::settled;
use super::track::{self, Access, AnyRecording, Track, Use};
use crate::Result;
use std::sync::Arc;

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

impl Context {
    /// The compiled kernel, compiling it on first use.
    pub(crate) fn pipeline(
        &self,
        key: PipelineKey,
        source: impl FnOnce() -> Result<PipelineSource>,
    ) -> Result<Arc<Pipeline>> {
        self.inner.pipelines.get(&self.inner.device, key, source)
    }

    /// For a dry run: notes a kernel that it would have compiled, for [`Context::prepare`].
    pub(crate) fn note(&self, key: PipelineKey, source: impl FnOnce() -> Later) {
        self.inner.rehearsed.note(key, source);
    }

    /// Into how many dispatches a kernel's work is cut, so that each fits a submission and fills the device.
    pub(crate) fn cuts(&self, kernel: &str, workgroups: u64, flops: f64, bytes: f64) -> u64 {
        self.inner.pacer.cuts(kernel, workgroups, [flops, bytes])
    }

    /// For a dry run: refuses what the device would refuse, and compiles and records nothing.
    pub(crate) fn rehearse(
        &self,
        stem: &'static str,
        label: &str,
        access: &[Access],
        bindings: &[Binding<'_>],
        workgroups: [u32; 3],
    ) -> Result<()> {
        if workgroups.contains(&0) {
            return Ok(());
        }
        let Inner { identity, device, recorder, .. } = &*self.inner;
        checks::dispatch(identity, &device.caps, (stem, label), access, bindings, workgroups)?;
        recorder.rehearse();
        Ok(())
    }

    /// Records a dispatch.
    pub(crate) fn dispatch(&self, dispatch: &Dispatch<'_>) -> Result<()> {
        let inner = &self.inner;
        inner.device.alive()?;
        if dispatch.workgroups.contains(&0) {
            return Ok(());
        }
        let pipeline = &dispatch.pipeline;
        let Dispatch { access, bindings, workgroups, .. } = *dispatch;
        let name = (pipeline.key.stem, pipeline.label.as_str());
        checks::dispatch(&inner.identity, &inner.device.caps, name, access, bindings, workgroups)?;
        let pairs = dispatch.bindings.iter().zip(dispatch.access);
        let mut uses: Vec<Use> = pairs.map(|(binding, access)| binding.used(*access)).collect();
        uses.iter_mut().for_each(|used| used.renews &= dispatch.first);
        self.in_order(dispatch.bindings.iter().map(|b| b.buffer));
        let bound: Vec<Bound<'_>> = bindings.iter().map(Binding::bound).collect();
        let bind_group = inner.bind_groups.get(&inner.device, pipeline, &bound)?;
        let kernel = pipeline.key.stem;
        let estimate = inner.pacer.estimate(kernel, [dispatch.flops, dispatch.bytes]);
        let command = Command::Dispatch {
            pipeline: pipeline.clone(),
            bind_group,
            params: dispatch.params.to_vec(),
            workgroups: dispatch.workgroups,
            flops: dispatch.flops,
            bytes: dispatch.bytes,
        };
        let full = inner.recorder.record(&inner.device, command, uses, Some((kernel, estimate)))?;
        if full { inner.submit() } else { Ok(()) }
    }

    /// Records a copy between buffers of this context; offsets and size in bytes, multiples of 4.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for ranges past an end or inside a word and for a buffer copied onto itself,
    /// [`Error::Usage`](crate::Error::Usage) for an app's buffer without COPY_SRC or COPY_DST,
    /// [`Error::Context`](crate::Error::Context) for a buffer of another context; [`Error::Lost`](crate::Error::Lost) where the
    /// source was never computed.
    pub fn copy(&self, from: Binding<'_>, to: Binding<'_>) -> Result<()> {
        let inner = &self.inner;
        let size = from.size.min(to.size);
        let (from, to) = (Binding { size, ..from }, Binding { size, ..to });
        checks::copy(&inner.identity, "copy", &from, wgpu::BufferUsages::COPY_SRC)?;
        checks::copy(&inner.identity, "copy", &to, wgpu::BufferUsages::COPY_DST)?;
        if from.buffer.same(to.buffer) {
            return checks::refuse("copy", "source and destination share a buffer");
        }
        if size == 0 || inner.device.plan {
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
        inner.recorder.record(
            &inner.device,
            command,
            vec![from.used(Access::Read), to.used(Access::Write)],
            None,
        )?;
        Ok(())
    }

    /// Records that these bytes become zero; offset and size are multiples of 4.
    ///
    /// # Errors
    /// As for [`Context::copy`].
    pub fn zero(&self, bytes: Binding<'_>) -> Result<()> {
        let inner = &self.inner;
        checks::copy(&inner.identity, "zero", &bytes, wgpu::BufferUsages::COPY_DST)?;
        if bytes.size == 0 || inner.device.plan {
            return Ok(());
        }
        self.in_order([bytes.buffer]);
        let Binding { buffer, offset, size } = bytes;
        let command = Command::Zero { buffer: buffer.raw().clone(), offset, size };
        inner.recorder.record(&inner.device, command, vec![bytes.used(Access::Write)], None)?;
        Ok(())
    }

    /// Writes bytes into a buffer of this context, in order with recorded work; the rest of the last word becomes zero. Up
    /// to 64 KiB are recorded like everything else, so that a table may change from call to call; what is longer, and what
    /// goes into an app's buffer, goes to the device by itself, after what is recorded.
    ///
    /// # Errors
    /// As for [`Context::copy`].
    pub fn upload(&self, to: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let inner = &self.inner;
        inner.device.alive()?;
        let padded;
        let bytes = if bytes.len().is_multiple_of(4) {
            bytes
        } else {
            padded = [bytes, &[0, 0, 0][..4 - bytes.len() % 4]].concat();
            &padded
        };
        let place = Binding { buffer: to, offset, size: bytes.len() as u64 };
        checks::copy(&inner.identity, "upload", &place, wgpu::BufferUsages::COPY_DST)?;
        if inner.device.plan || bytes.is_empty() {
            return Ok(());
        }
        self.in_order([to]);
        let uses = vec![place.used(Access::Write)];
        // An app that hands over work of its own sees what was written to its buffer before.
        if bytes.len() <= RECORDED_WRITE && !to.0.borrowed && inner.recorder.has_work() {
            // A device that is lost says so when it is asked.
            inner.pacer.poll(&inner.device);
            inner.device.alive()?;
            let command = Command::Write { to: to.raw().clone(), to_offset: offset, bytes: bytes.to_vec() };
            let full = inner.recorder.record(&inner.device, command, uses, None)?;
            return if full { inner.submit() } else { Ok(()) };
        }
        // Work recorded earlier may still read what lies there now, so it goes first.
        inner.submit()?;
        track::record(&uses);
        let device = &inner.device;
        let scopes = Scopes::push(&device.raw);
        device.queue.write_buffer(to.raw(), offset, bytes);
        let failed = scopes.pop_then(&mut device.errors(), settled(vec![uses]));
        failed.map_or(Ok(()), |error| Err(device.fault(error)))
    }

    /// Records a copy to where the host reads it, marked by `track`.
    fn copy_out(&self, from: Binding<'_>, to: &wgpu::Buffer, track: Arc<Track>) -> Result<()> {
        checks::copy(&self.inner.identity, "read", &from, wgpu::BufferUsages::COPY_SRC)?;
        self.in_order([from.buffer]);
        let Binding { buffer, offset: from_offset, size } = from;
        let to_host = Use { track, bytes: 0..size, access: Access::Write, renews: true };
        let command =
            Command::Copy { from: buffer.raw().clone(), from_offset, to: to.clone(), to_offset: 0, size };
        self.inner.recorder.record(
            &self.inner.device,
            command,
            vec![from.used(Access::Read), to_host],
            None,
        )?;
        Ok(())
    }

    /// Apps' buffers may be used by several contexts of one device, each of which records for itself: what another
    /// recorded on one of these goes first.
    fn in_order<'a>(&self, buffers: impl IntoIterator<Item = &'a Buffer>) {
        let by: Arc<AnyRecording> = self.inner.clone();
        for buffer in buffers.into_iter().filter(|b| b.0.borrowed) {
            if let Some(other) = buffer.0.track.recorded(&by) {
                other.hand_over();
            }
        }
    }

    /// Bytes of a buffer of this context after all work recorded so far; offset and size in bytes, multiples of 4.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for a range past the end or inside a word,
    /// [`Error::Usage`](crate::Error::Usage) for an app's buffer without COPY_SRC, [`Error::Context`](crate::Error::Context) for
    /// a buffer of another context; [`Error::Lost`](crate::Error::Lost) where the bytes were never computed.
    pub async fn read(&self, buffer: &Buffer, offset: u64, size: u64) -> Result<Vec<u8>> {
        let inner = &self.inner;
        inner.device.alive()?;
        let from = Binding { buffer, offset, size };
        checks::copy(&inner.identity, "read", &from, wgpu::BufferUsages::COPY_SRC)?;
        if size == 0 {
            return Ok(Vec::new());
        }
        if inner.device.plan {
            let mut zeros = readback::room(size)?;
            // What there is room for, usize holds.
            zeros.resize(size as usize, 0);
            return Ok(zeros);
        }
        let staging = readback::staging(&inner.device, size)?;
        let track = Arc::new(Track::default());
        self.copy_out(from, &staging, track.clone())?;
        inner.submit()?;
        let bytes = readback::map(&inner.device, &staging, size).await?;
        // Another thread may have handed the copy over, in a submission that failed.
        track.require(&(0..size))?;
        Ok(bytes)
    }
}
