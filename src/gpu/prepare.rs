//! Compiling kernels before anything waits for them.

use super::context::Context;
#[cfg(not(target_arch = "wasm32"))]
use super::lock::lock;
use super::pipeline::PipelineKey;
use super::rehearsed::Later;
use crate::{Error, Result};
use std::ops::ControlFlow;

/// A kernel that [`Context::prepare`] has compiled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PrepareEvent {
    /// Stem and variant.
    pub kernel: String,
    /// Kernels compiled so far, with this one.
    pub done: usize,
    /// Kernels to compile in all.
    pub total: usize,
}

impl Context {
    /// Compiles what a dry run would have compiled, so that no later dispatch of the same problems waits for a compiler.
    /// Returns how many kernels that were; what is compiled already is not compiled again. Results stay the same bits.
    ///
    /// A dry run is [`Context::plan`] with the capabilities of this device, on which the program's own calls have run: one
    /// kernel, or a whole pipeline as far as its calls do not depend on values, which a dry run has not got.
    ///
    /// ```no_run
    /// # async fn f(context: &foveal::Context) -> foveal::Result<()> {
    /// use foveal::kernels::elementwise::gelu;
    /// use foveal::{Context, ContextOptions, Dtype, Tensor};
    /// use std::ops::ControlFlow;
    ///
    /// let plan = Context::plan(context.caps().clone(), ContextOptions::default());
    /// gelu(&Tensor::empty(&plan, [1024, 3072], Dtype::F16)?)?;
    /// context
    ///     .prepare(&plan, |event| {
    ///         println!("{} of {}: {}", event.done, event.total, event.kernel);
    ///         ControlFlow::Continue(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// On native backends the kernels are shared out among as many threads as the machine has cores, and the caller's thread
    /// is free meanwhile; a future that is dropped waits for those that are being compiled. In browsers all of them are
    /// handed to WebGPU at once, which compiles as it sees fit: wgpu 30 has no door to WebGPU's own asynchronous creation of
    /// pipelines, so the first dispatch may still wait there.
    ///
    /// # Errors
    /// The first error of a compiler, [`Error::Shader`] with the place; what was compiled before stays. [`Error::Cancelled`] where the hook
    /// breaks off. [`Error::Input`] for a
    /// `plan` that is no dry run or has other capabilities, [`Error::Unsupported`] on a dry run itself,
    /// [`Error::DeviceLost`].
    pub async fn prepare(
        &self,
        plan: &Self,
        mut hook: impl FnMut(&PrepareEvent) -> ControlFlow<()>,
    ) -> Result<usize> {
        self.inner.device.alive()?;
        if self.is_plan() {
            let adapter = &self.caps().adapter;
            return Err(Error::unsupported("compiling kernels", adapter, "a dry run compiles nothing"));
        }
        if !plan.is_plan() {
            return Err(Error::input("plan", "it is no dry run, which `Context::plan` makes"));
        }
        if plan.caps() != self.caps() {
            let reason =
                format!("it has other capabilities, {}, than the device, {}", plan.caps(), self.caps());
            return Err(Error::input("plan", reason));
        }
        let mut kernels = plan.inner.rehearsed.kernels();
        kernels.retain(|(key, _)| !self.inner.pipelines.has(key));
        let total = kernels.len();
        let mut compiling = Compiling::start(self, kernels);
        let mut done = 0;
        while let Some(compiled) = compiling.next().await {
            done += 1;
            if hook(&PrepareEvent { kernel: compiled?, done, total }).is_break() {
                return Err(Error::Cancelled(format!("kernel {done} of {total}")));
            }
        }
        compiling.finish(self).await?;
        if done < total {
            let reason = format!("a thread that compiles kernels has ended with {} left", total - done);
            return Err(Error::Gpu(reason));
        }
        Ok(done)
    }

    /// Number of kernels compiled so far, each variant counted.
    pub fn compiled_count(&self) -> usize {
        self.inner.pipelines.count()
    }

    /// Compiles a kernel and returns its label.
    fn compile(&self, key: PipelineKey, source: &Later) -> Result<String> {
        let pipeline = self.pipeline(key, || Ok(source(self.caps())))?;
        Ok(pipeline.label.clone())
    }
}

#[cfg(not(target_arch = "wasm32"))]
use threads::Compiling;

/// One kernel a thread, until none is left.
#[cfg(not(target_arch = "wasm32"))]
mod threads {
    use super::{Context, Later, PipelineKey, lock};
    use crate::Result;
    use std::future::poll_fn;
    use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
    use std::sync::{Arc, Mutex};
    use std::task::{Poll, Waker};
    use std::thread::JoinHandle;

    type Kernels = Arc<Mutex<std::vec::IntoIter<(PipelineKey, Later)>>>;
    type Alarm = Arc<Mutex<Option<Waker>>>;

    fn ring(alarm: &Alarm) {
        // Not under the lock: whoever is woken may look at once.
        let waker = lock(alarm).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    struct Worker {
        context: Context,
        kernels: Kernels,
        /// There until the worker ends, also by a panic.
        outcomes: Option<Sender<Result<String>>>,
        alarm: Alarm,
    }

    impl Worker {
        fn work(self) {
            let next = || lock(&self.kernels).next();
            while let Some((key, source)) = next() {
                let compiled = self.context.compile(key, &source);
                // Where nobody listens any more, the list is empty.
                let _ = self.outcomes.as_ref().map(|outcomes| outcomes.send(compiled));
                ring(&self.alarm);
            }
        }
    }

    impl Drop for Worker {
        fn drop(&mut self) {
            self.outcomes = None;
            ring(&self.alarm);
        }
    }

    /// Threads at work on a list of kernels; they end with it.
    pub(super) struct Compiling {
        kernels: Kernels,
        outcomes: Receiver<Result<String>>,
        alarm: Alarm,
        threads: Vec<JoinHandle<()>>,
    }

    impl Compiling {
        pub(super) fn start(context: &Context, kernels: Vec<(PipelineKey, Later)>) -> Self {
            let most = std::thread::available_parallelism().map_or(1, usize::from);
            let count = kernels.len().min(most);
            let (send, outcomes) = channel();
            let (kernels, alarm) = (Arc::new(Mutex::new(kernels.into_iter())), Alarm::default());
            let worker = || Worker {
                context: context.clone(),
                kernels: kernels.clone(),
                outcomes: Some(send.clone()),
                alarm: alarm.clone(),
            };
            let threads: Vec<_> = (0..count)
                .filter_map(|_| {
                    let worker = worker();
                    std::thread::Builder::new()
                        .name("foveal compiler".into())
                        .spawn(move || worker.work())
                        .ok()
                })
                .collect();
            if threads.is_empty() {
                // No thread is to be had: the caller's compiles.
                worker().work();
            }
            Self { kernels, outcomes, alarm, threads }
        }

        /// What became of one more kernel; none once all threads have ended.
        pub(super) async fn next(&mut self) -> Option<Result<String>> {
            poll_fn(|cx| {
                *lock(&self.alarm) = Some(cx.waker().clone());
                match self.outcomes.try_recv() {
                    Ok(outcome) => Poll::Ready(Some(outcome)),
                    Err(TryRecvError::Disconnected) => Poll::Ready(None),
                    Err(TryRecvError::Empty) => Poll::Pending,
                }
            })
            .await
        }

        /// Errors that become known late: none, where compilers answer at once.
        pub(super) async fn finish(self, _context: &Context) -> Result<()> {
            Ok(())
        }
    }

    impl Drop for Compiling {
        /// A thread that outlives the process's use of the driver would crash in it.
        fn drop(&mut self) {
            lock(&self.kernels).by_ref().for_each(drop);
            // One of them may be the one that drops this, having woken who drops it.
            let others = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
            for thread in self.threads.drain(..).filter(others) {
                let _ = thread.join();
            }
        }
    }
}

/// A browser takes all kernels at once and has its own threads.
#[cfg(target_arch = "wasm32")]
struct Compiling(std::vec::IntoIter<Result<String>>);

#[cfg(target_arch = "wasm32")]
impl Compiling {
    fn start(context: &Context, kernels: Vec<(PipelineKey, Later)>) -> Self {
        let compiled = kernels.iter().map(|(key, source)| context.compile(*key, source));
        Self(compiled.collect::<Vec<_>>().into_iter())
    }

    async fn next(&mut self) -> Option<Result<String>> {
        self.0.next()
    }

    /// Errors of its compiler come with the scopes around it.
    async fn finish(self, context: &Context) -> Result<()> {
        super::readback::drained(&context.inner.device).await
    }
}
