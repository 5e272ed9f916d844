//! A device with everything that lives as long as it, and what an app does with it. The subsystems own their locks and know
//! nothing of each other but what they are handed; only here all of them meet.

use super::adapter;
use super::bind_groups::BindGroups;
use super::caps::{Caps, CoopMatrix};
use super::compiled;
use super::device::{Device, Lost};
use super::error_scope::describe;
use super::identity::Identity;
use super::lock::lock;
use super::memory::{Buffer, MemoryStats, Pool};
use super::options::ContextOptions;
use super::pace::Pacer;
use super::pipeline::Pipelines;
use super::readback;
use super::recorder::Recorder;
use super::rehearsed::Rehearsed;
use super::submit;
use super::timing::{Timing, Timings};
use super::track::Recording;
use crate::{Error, Result};
use std::sync::{Arc, OnceLock};

/// A device, its memory pool, its compiled kernels and its recorder. Cheap to clone; clones are the same context. `Display`
/// gives its number and adapter, by which errors name it.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) identity: Identity,
    pub(super) device: Arc<Device>,
    /// The capabilities with cooperative matrices, where those of the device have shown that they may be taken.
    with_matrices: OnceLock<Caps>,
    /// Shapes of cooperative matrices that have yet to show it.
    unproven: Vec<CoopMatrix>,
    pub(super) pool: Arc<Pool>,
    pub(super) pipelines: Pipelines,
    pub(super) bind_groups: Arc<BindGroups>,
    pub(super) recorder: Recorder,
    timings: Timings,
    /// Of a dry run.
    pub(super) rehearsed: Rehearsed,
    pub(super) pacer: Pacer,
    assumed_rates: Option<(f64, f64)>,
}

/// Whoever drops a context's last clone closes the device, and no thread of it is at the driver's afterwards.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Inner {
    fn drop(&mut self) {
        self.device.gather();
    }
}

impl Inner {
    /// Encodes and submits everything recorded. Returns the first error known by now.
    pub(super) fn submit(&self) -> Result<()> {
        submit::submit(&self.device, &self.recorder, &self.timings, &self.pacer)
    }

    /// Frees everything the pool keeps.
    pub(super) fn trim(&self) {
        let freed = self.pool.empty();
        // Work recorded but not submitted may still name these buffers. No work recorded from here on can: the pool
        // has forgotten them.
        self.hand_over();
        self.bind_groups.clear();
        freed.iter().for_each(wgpu::Buffer::destroy);
    }
}

impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.identity.fmt(f)
    }
}

impl Recording for Inner {
    fn hand_over(&self) {
        if let Err(error) = self.submit() {
            self.device.errors().push(error);
        }
    }
}

/// Features used where present; nothing is required.
fn wanted_features() -> wgpu::Features {
    wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP
        | wgpu::Features::IMMEDIATES
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::PIPELINE_CACHE
        | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
}

impl Context {
    /// Opens an adapter of this machine, those of `refused` left out, without asking it anything.
    pub(crate) async fn open(options: &ContextOptions, refused: &[(Caps, String)]) -> Result<Self> {
        let instance = adapter::instance();
        let mut found = adapter::adapters(&instance, options.self_test).await;
        for (_, report) in &mut found {
            let same = |caps: &Caps| {
                let of = |c: &Caps| (c.adapter.clone(), c.driver.clone(), c.backend.clone());
                of(caps) == of(&report.caps)
            };
            if let Some((_, reason)) = refused.iter().find(|(caps, _)| same(caps)) {
                report.refused.get_or_insert_with(|| reason.clone());
            }
        }
        let (adapter, _) = adapter::choose(found, &options.adapter)?;
        let features = adapter.features() & wanted_features();
        let coop = features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("foveal"),
            required_features: features,
            required_limits: adapter.limits(),
            experimental_features: if coop {
                // SAFETY: the one experimental feature asked for is the cooperative matrix, whose shapes are checked
                // against the adapter's own list before a shader uses them.
                unsafe { wgpu::ExperimentalFeatures::enabled() }
            } else {
                wgpu::ExperimentalFeatures::disabled()
            },
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|e| Error::NoAdapter(format!("{}: {e}", adapter.get_info().name)))?;
        let mut caps = Caps::new(&adapter.get_info(), device.features(), &device.limits());
        caps.coop = adapter::matrices(&adapter, device.features());
        let context = Self::assemble(device, queue, caps, options);
        // A context that owns its device also owns its last-resort error handler, which by default would panic.
        let uncaptured = context.inner.device.errors().uncaptured();
        context.inner.device.raw.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&uncaptured).push(describe(error));
        }));
        Ok(context)
    }

    /// Takes an app's own device and queue, without asking it anything.
    pub(crate) fn adopt_device(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &ContextOptions,
    ) -> Result<Self> {
        let caps = adapter::caps_of(&device);
        if let Some(reason) = adapter::refusal_of(&device, options.self_test) {
            return Err(adapter::refused_device(&caps, &reason));
        }
        Ok(Self::assemble_unwatched(device, queue, caps, options, false, Lost::default()))
    }

    /// A context for a dry run: it has these capabilities, counts memory as a device's context does, and computes
    /// nothing. Uploads are dropped and downloads are zeros, so it takes no memory worth the name.
    ///
    /// What it would have compiled, [`Context::prepare`] compiles on a device ahead of time.
    pub fn plan(caps: Caps, options: ContextOptions) -> Self {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        Self::assemble_unwatched(device, queue, caps, &options, true, Lost::default())
    }

    /// True for a dry run; see [`Context::plan`].
    pub fn is_plan(&self) -> bool {
        self.inner.device.plan
    }

    fn assemble(device: wgpu::Device, queue: wgpu::Queue, caps: Caps, options: &ContextOptions) -> Self {
        let context = Self::assemble_unwatched(device, queue, caps, options, false, Lost::default());
        let lost = context.inner.device.lost();
        context.inner.device.raw.set_device_lost_callback(move |reason, message| {
            *lock(&lost) = Some(format!("{reason:?} {message}").trim().to_owned());
        });
        context
    }

    fn assemble_unwatched(
        device: wgpu::Device,
        queue: wgpu::Queue,
        mut caps: Caps,
        options: &ContextOptions,
        plan: bool,
        lost: Lost,
    ) -> Self {
        let unproven = if plan { Vec::new() } else { caps.withhold_matrices() };
        let identity = Identity::new(&caps.adapter);
        let kept = compiled::cache(&device, options.compiled_kernels.as_deref());
        let bind_groups = Arc::new(BindGroups::default());
        let inner = Inner {
            with_matrices: OnceLock::new(),
            unproven,
            pool: Arc::new(Pool::new(identity.clone(), options.memory_budget, bind_groups.clone())),
            identity,
            pipelines: Pipelines::new(kept, options.checked),
            bind_groups,
            recorder: Recorder::default(),
            timings: Timings::default(),
            rehearsed: Rehearsed::default(),
            pacer: Pacer::new(&caps, options.assumed_rates),
            assumed_rates: options.assumed_rates,
            device: Arc::new(Device::new(device, queue, caps, plan, lost)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its kernels are compiled with run-time checks.
    pub(crate) fn is_checked(&self) -> bool {
        self.inner.pipelines.checked()
    }

    /// Another context on this device, without a memory budget.
    pub(crate) fn sibling(&self) -> Self {
        let Inner { device, pipelines, assumed_rates, .. } = &*self.inner;
        let (checked, assumed_rates, caps) = (pipelines.checked(), *assumed_rates, self.caps());
        let options = ContextOptions { checked, assumed_rates, ..ContextOptions::default() };
        let (raw, queue) = (device.raw.clone(), device.queue.clone());
        Self::assemble_unwatched(raw, queue, caps.clone(), &options, device.plan, device.lost())
    }

    /// A sibling that takes the cooperative matrices which have yet to show that they are right here, where there are some.
    pub(crate) fn sibling_with_matrices(&self) -> Option<Self> {
        let Inner { unproven, with_matrices, .. } = &*self.inner;
        let waiting = !unproven.is_empty() && with_matrices.get().is_none();
        waiting.then(|| {
            let sibling = self.sibling();
            sibling.take_matrices(unproven);
            sibling
        })
    }

    /// Takes matrices of these shapes from now on.
    fn take_matrices(&self, shapes: &[CoopMatrix]) {
        // None where the context has had its matrices all along.
        if !shapes.is_empty() {
            self.inner
                .with_matrices
                .get_or_init(|| Caps { coop: shapes.to_vec(), ..self.inner.device.caps.clone() });
        }
    }

    /// Takes the device's matrices from now on: they have been right.
    pub(crate) fn trust_matrices(&self) {
        self.take_matrices(&self.inner.unproven);
    }

    /// True for clones of one context. Tensors of different contexts do not meet in a kernel, also where the contexts share a
    /// device: each has a pool and a recorder of its own.
    pub fn same(&self, other: &Self) -> bool {
        self.inner.identity == other.inner.identity
    }

    /// Tells the context that its device is gone; every later call returns [`Error::DeviceLost`].
    pub fn mark_lost(&self, reason: &str) {
        self.inner.device.mark_lost(reason.to_owned());
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        self.inner.with_matrices.get().unwrap_or(&self.inner.device.caps)
    }

    /// The device of the GPU API, for an app that shares it.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device.raw
    }

    /// The queue of the GPU API, for an app that shares it.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.device.queue
    }

    /// Bytes in use, at most in use, and pooled.
    pub fn memory(&self) -> MemoryStats {
        self.inner.pool.stats()
    }

    /// Sets the peak of [`Context::memory`] to what is live now.
    pub fn reset_peak(&self) {
        self.inner.pool.reset_peak();
    }

    /// Sets or lifts the memory budget; see [`ContextOptions::memory_budget`].
    pub fn set_memory_budget(&self, bytes: Option<u64>) {
        self.inner.pool.set_budget(bytes);
    }

    /// Gives pooled buffers back to the device.
    pub fn trim(&self) {
        self.inner.trim();
    }

    /// A storage buffer of at least `bytes` with undefined contents; [`Error::OutOfMemory`] where device or budget have
    /// no room, [`Error::Unsupported`] where no buffer of the device is as large.
    pub fn allocate(&self, bytes: u64) -> Result<Buffer> {
        let inner = &self.inner;
        inner.pool.allocate(&inner.device, &inner.pacer, bytes, || inner.trim())
    }

    /// Wraps an app's buffer. What is done with it decides which usages it needs:
    ///
    /// | usage | needed for | asked for by |
    /// |---|---|---|
    /// | STORAGE | kernels, which read or write it | this call |
    /// | COPY_SRC | downloads, copies from it, kernels that read from where no binding may begin ([`Caps::offset_alignment`]) | those calls |
    /// | COPY_DST | uploads, zeros, copies into it | those calls |
    ///
    /// The buffer is not mapped while work on it is submitted, and belongs to this context's device; the API says so where
    /// that is not kept.
    ///
    /// # Errors
    /// [`Error::Usage`] where STORAGE is missing; a call that lacks another usage gives it before anything is recorded.
    pub fn adopt(&self, raw: &wgpu::Buffer) -> Result<Buffer> {
        self.inner.pool.adopt(raw)
    }

    /// Hands recorded work to the device and reports the first error known by then.
    pub fn submit(&self) -> Result<()> {
        self.inner.submit()
    }

    /// Submits and waits until the device has finished everything.
    pub async fn finish(&self) -> Result<()> {
        self.inner.submit()?;
        if self.inner.device.plan {
            return Ok(());
        }
        readback::drained(&self.inner.device).await
    }

    /// Starts or stops timing every dispatch (each then gets a pass of its own). False where timestamps are absent.
    pub fn set_timing(&self, on: bool) -> bool {
        let on = on && self.inner.device.caps.timestamps;
        // Work recorded before belongs to the time before.
        self.inner.hand_over();
        self.inner.timings.set(on);
        on
    }

    /// Time of each dispatch since timing was started or last taken, in order.
    pub async fn take_timings(&self) -> Result<Vec<Timing>> {
        self.inner.submit()?;
        self.inner.timings.take(&self.inner.device).await
    }

    /// Number of dispatches recorded so far.
    pub fn dispatches(&self) -> u64 {
        self.inner.recorder.dispatches()
    }

    /// Number of times that recorded work was handed to the device so far.
    pub fn submissions(&self) -> u64 {
        self.inner.recorder.submissions()
    }

    /// The kernels compiled so far, for [`ContextOptions::compiled_kernels`] of a
    /// later run on this machine; `None` where the driver hands none out (all but Vulkan).
    ///
    /// Desktop drivers keep such a cache on disk by themselves; this is for those that do not, and for apps whose users
    /// should not find it empty.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] once the device is gone.
    pub fn compiled_kernels(&self) -> Result<Option<Vec<u8>>> {
        let Inner { device, pipelines, .. } = &*self.inner;
        device.alive()?;
        let data = pipelines.kept().and_then(compiled::data);
        device.first_error().map(|()| data)
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[test]
    fn the_last_clone_waits_for_threads_that_were_left_behind() {
        let context = Context::plan(Caps::webgpu_default(), ContextOptions::default());
        let ended = Arc::new(AtomicBool::new(false));
        let thread_ended = ended.clone();
        context.inner.device.leave_behind(std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            thread_ended.store(true, Ordering::SeqCst);
        }));
        let clone = context.clone();
        drop(context);
        assert!(!ended.load(Ordering::SeqCst), "another clone is there");
        drop(clone);
        assert!(ended.load(Ordering::SeqCst));
    }
}
