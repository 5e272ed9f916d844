//! A device with everything that lives as long as it: pool, pipelines, recorder, errors.

use super::adapter::{self, AdapterChoice};
use super::caps::{Caps, CoopMatrix};
use super::error_scope::PendingErrors;
use super::memory::{Buffer, MemoryStats, Pool};
use super::pace::Pace;
use super::pipeline::{BindGroupKey, Pipeline, PipelineKey};
use super::recorder::Recorder;
use super::timing::{Timing, Timings};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How much is asked of a driver before its numbers are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SelfTest {
    /// Nothing, and drivers known to compute wrongly are taken too: numbers may be silently wrong. For one that fails
    /// where it does not matter.
    Skip,
    /// What every kernel takes for granted: long loops, barriers, lanes, storage types, bounds. Once a
    /// process and driver.
    #[default]
    Driver,
    /// Also each flagship kernel, on small instances in which every way to share the work that the device would take has
    /// its turn.
    Full,
}

/// How to make a context.
#[derive(Debug, Clone, Default)]
pub struct ContextOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// Compile kernels with bounds checks, loop bounding and division checks. Slower; for hunting a defect.
    pub checked: bool,
    /// Refuse allocations that would bring live memory above this many bytes, and keep no more than that for reuse.
    pub memory_budget: Option<u64>,
    /// What is asked of the driver when the context opens its device itself.
    pub self_test: SelfTest,
    /// Kernels that an earlier run compiled, from [`Context::compiled_kernels`]. Data that were damaged, or that belong to
    /// another device or driver, are left aside.
    pub compiled_kernels: Option<Vec<u8>>,
    /// Floating-point operations and bytes a second by which work is cut into dispatches and submissions, instead of what
    /// the class of the adapter lets expect and finished work has shown. Small numbers cut small work, for tests.
    pub assumed_rates: Option<(f64, f64)>,
}

/// A device, its memory pool, its compiled kernels and its recorder. Cheap to clone; clones are the same context.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// No two contexts of a process have the same.
    pub(super) id: u64,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) caps: Caps,
    /// The same with cooperative matrices, where those of the device have shown that they may be taken.
    with_matrices: OnceLock<Caps>,
    /// Shapes of cooperative matrices that have yet to show it.
    unproven: Vec<CoopMatrix>,
    pub(super) checked: bool,
    /// Memory is counted and nothing runs.
    pub(super) plan: bool,
    pub(super) cache: Option<wgpu::PipelineCache>,
    pub(super) pool: Mutex<Pool>,
    pub(super) pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    pub(super) bind_groups: Mutex<HashMap<BindGroupKey, wgpu::BindGroup>>,
    pub(super) recorder: Mutex<Recorder>,
    pub(super) errors: Mutex<PendingErrors>,
    pub(super) timings: Mutex<Timings>,
    pub(super) pace: Mutex<Pace>,
    /// Number of the last submission that is known to be finished.
    pub(super) finished: Arc<AtomicU64>,
    assumed_rates: Option<(f64, f64)>,
    /// Where time is counted from; browsers have no clock that the standard library reads.
    #[cfg(not(target_arch = "wasm32"))]
    since: std::time::Instant,
    lost: Lost,
}

/// Why the device is gone, once it is.
type Lost = Arc<Mutex<Option<String>>>;

/// Locks even after a panic elsewhere: every critical section leaves its data whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(super) fn alive(&self) -> Result<()> {
        match &*lock(&self.lost) {
            Some(reason) => Err(Error::DeviceLost(reason.clone())),
            None => Ok(()),
        }
    }

    /// Lets the device tell that it is lost, and what it has finished; it does so only when it is polled.
    pub(super) fn look_for_loss(&self) {
        // An error here is a loss as well, and the callback has it.
        let _ = self.device.poll(wgpu::PollType::Poll);
        if let Some(now) = self.now() {
            lock(&self.pace).observe(now, self.finished.load(Ordering::Acquire));
        }
    }

    /// Waits for the device, as long as a user would.
    pub(super) fn wait_a_while(&self) {
        let timeout = Some(Duration::from_secs(1));
        let _ = self.device.poll(wgpu::PollType::Wait { submission_index: None, timeout });
    }

    /// What to report for an error of the API: on a lost device everything fails, and the loss is the reason. It is told
    /// once the queue is empty.
    pub(super) fn fault(&self, error: Error) -> Error {
        self.wait_a_while();
        self.alive().err().unwrap_or(error)
    }

    /// Operations and bytes a second that are assumed of the device.
    pub(super) fn rates(&self) -> (f64, f64) {
        self.assumed_rates.unwrap_or_else(|| self.caps.assumed_rates())
    }

    /// Time since the context was made. None where rates were asked for: then nothing is learnt.
    pub(super) fn now(&self) -> Option<Duration> {
        #[cfg(not(target_arch = "wasm32"))]
        let now = Some(self.since.elapsed());
        #[cfg(target_arch = "wasm32")]
        let now = None;
        now.filter(|_| self.assumed_rates.is_none())
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
        let uncaptured = lock(&context.inner.errors).uncaptured();
        context.inner.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&uncaptured).push(super::error_scope::describe(error));
        }));
        Ok(context)
    }

    /// Works on an app's own device and queue, with the features and limits that the app asked for.
    ///
    /// Several contexts may work on one device. Each has its own pool, kernels and recorder, so that their tensors stay
    /// apart ([`Tensor::to_context`](crate::Tensor::to_context) copies between them); an app's buffer may be adopted by all
    /// of them, and work on it happens in the order in which it was recorded.
    ///
    /// The driver is taken as it is; [`Context::self_test`] asks it.
    ///
    /// The app keeps its handlers: the device-lost callback is the app's to set, and it tells foveal by
    /// [`Context::mark_lost`].
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue, options: &ContextOptions) -> Result<Self> {
        let limits = device.limits();
        if let Some(reason) = adapter::too_small(&limits) {
            let adapter = device.adapter_info().name;
            return Err(Error::Unsupported { what: "the app's device".into(), adapter, reason });
        }
        let mut caps = Caps::new(&device.adapter_info(), device.features(), &limits);
        caps.coop = adapter::matrices_of(&device);
        Ok(Self::assemble_unwatched(device, queue, caps, options, false, Lost::default()))
    }

    /// A context for a dry run: it has these capabilities, counts memory as a device's context does, and computes
    /// nothing. Uploads are dropped and downloads are zeros, so it takes no memory worth the name.
    pub fn plan(caps: Caps, options: &ContextOptions) -> Self {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        Self::assemble_unwatched(device, queue, caps, options, true, Lost::default())
    }

    /// True for a dry run; see [`Context::plan`].
    pub fn is_plan(&self) -> bool {
        self.inner.plan
    }

    fn assemble(device: wgpu::Device, queue: wgpu::Queue, caps: Caps, options: &ContextOptions) -> Self {
        let context = Self::assemble_unwatched(device, queue, caps, options, false, Lost::default());
        let lost = context.inner.lost.clone();
        context.inner.device.set_device_lost_callback(move |reason, message| {
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
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let unproven = if plan { Vec::new() } else { caps.withhold_matrices() };
        let mut pool = Pool::default();
        pool.budget = options.memory_budget;
        let inner = Inner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            cache: super::compiled::cache(&device, options.compiled_kernels.as_deref()),
            device,
            queue,
            caps,
            with_matrices: OnceLock::new(),
            unproven,
            checked: options.checked,
            plan,
            pool: Mutex::new(pool),
            pipelines: Mutex::default(),
            bind_groups: Mutex::default(),
            recorder: Mutex::default(),
            errors: Mutex::default(),
            timings: Mutex::default(),
            pace: Mutex::default(),
            finished: Arc::default(),
            assumed_rates: options.assumed_rates,
            #[cfg(not(target_arch = "wasm32"))]
            since: std::time::Instant::now(),
            lost,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Another context on this device, without a memory budget.
    pub(crate) fn sibling(&self) -> Self {
        let Inner { device, queue, checked, plan, lost, assumed_rates, .. } = &*self.inner;
        let (checked, assumed_rates, caps) = (*checked, *assumed_rates, self.caps());
        let options = ContextOptions { checked, assumed_rates, ..ContextOptions::default() };
        Self::assemble_unwatched(device.clone(), queue.clone(), caps.clone(), &options, *plan, lost.clone())
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
                .get_or_init(|| Caps { coop: shapes.to_vec(), ..self.inner.caps.clone() });
        }
    }

    /// Takes the device's matrices from now on: they have been right.
    pub(crate) fn trust_matrices(&self) {
        self.take_matrices(&self.inner.unproven);
    }

    /// True for clones of one context. Tensors of different contexts do not meet in a kernel, also where the contexts share a
    /// device: each has a pool and a recorder of its own.
    pub fn same(&self, other: &Self) -> bool {
        self.inner.id == other.inner.id
    }

    /// Tells the context that its device is gone; every later call returns [`Error::DeviceLost`].
    pub fn mark_lost(&self, reason: &str) {
        *lock(&self.inner.lost) = Some(reason.to_owned());
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        self.inner.with_matrices.get().unwrap_or(&self.inner.caps)
    }

    /// The device of the GPU API, for an app that shares it.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue of the GPU API, for an app that shares it.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Bytes in use, at most in use, and pooled.
    pub fn memory(&self) -> MemoryStats {
        self.inner.memory()
    }

    /// Sets the peak of [`Context::memory`] to what is live now.
    pub fn reset_peak(&self) {
        self.inner.reset_peak();
    }

    /// Sets or lifts the memory budget; see [`ContextOptions::memory_budget`].
    pub fn set_memory_budget(&self, bytes: Option<u64>) {
        self.inner.set_budget(bytes);
    }

    /// Gives pooled buffers back to the device.
    pub fn trim(&self) {
        self.inner.trim();
    }

    /// A storage buffer of at least `bytes` with undefined contents; [`Error::OutOfMemory`] where device or budget have
    /// no room, [`Error::Unsupported`] where no buffer of the device is as large.
    pub fn allocate(&self, bytes: u64) -> Result<Buffer> {
        self.inner.allocate(bytes)
    }

    /// Wraps an app's buffer (usage STORAGE, else [`Error::Input`]; COPY_SRC to download, COPY_DST to upload).
    pub fn adopt(&self, raw: &wgpu::Buffer) -> Result<Buffer> {
        self.inner.adopt(raw)
    }

    /// Hands recorded work to the device and reports the first error known by then.
    pub fn submit(&self) -> Result<()> {
        self.inner.submit()
    }

    /// Submits and waits until the device has finished everything.
    pub async fn finish(&self) -> Result<()> {
        self.inner.submit()?;
        if self.inner.plan {
            return Ok(());
        }
        super::readback::drained(&self.inner).await
    }

    /// Starts or stops timing every dispatch (each then gets a pass of its own). False where timestamps are absent.
    pub fn set_timing(&self, on: bool) -> bool {
        let on = on && self.inner.caps.timestamps;
        // Work recorded before belongs to the time before.
        if let Err(error) = self.inner.submit() {
            lock(&self.inner.errors).push(error);
        }
        lock(&self.inner.timings).on = on;
        on
    }

    /// Time of each dispatch since timing was started or last taken, in order.
    pub async fn take_timings(&self) -> Result<Vec<Timing>> {
        self.inner.submit()?;
        super::timing::take(&self.inner).await
    }

    /// Number of dispatches recorded so far.
    pub fn dispatches(&self) -> u64 {
        lock(&self.inner.recorder).dispatches
    }
}
