//! The device and its queue, what it can do, and how it fails.

use super::caps::Caps;
use super::error_scope::{PendingErrors, Scopes};
use super::lock::lock;
use crate::{Error, Result};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Why the device is gone, once it is.
pub(super) type Lost = Arc<Mutex<Option<String>>>;

/// The API's own types, for whom an app hands them through.
pub(crate) use wgpu::{Device as AppDevice, Queue as AppQueue};

#[derive(Debug)]
pub(super) struct Device {
    pub(super) raw: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) caps: Caps,
    /// Memory is counted and nothing runs.
    pub(super) plan: bool,
    errors: Mutex<PendingErrors>,
    lost: Lost,
    /// Threads at the driver's that nobody waits for any more.
    #[cfg(not(target_arch = "wasm32"))]
    left_behind: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Device {
    /// One that does nothing, for tests of what works on devices.
    #[cfg(test)]
    pub(super) fn noop(caps: Caps) -> Arc<Self> {
        let (raw, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        Arc::new(Self::new(raw, queue, caps, false, Lost::default()))
    }

    pub(super) fn new(raw: wgpu::Device, queue: wgpu::Queue, caps: Caps, plan: bool, lost: Lost) -> Self {
        Self {
            raw,
            queue,
            caps,
            plan,
            errors: Mutex::default(),
            lost,
            #[cfg(not(target_arch = "wasm32"))]
            left_behind: Mutex::default(),
        }
    }

    /// Keeps a thread that drives the device for nobody any more, until [`gather`](Self::gather).
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn leave_behind(&self, thread: std::thread::JoinHandle<()>) {
        let mut left = lock(&self.left_behind);
        left.retain(|thread| !thread.is_finished());
        left.push(thread);
    }

    /// Waits for the threads that were left behind. One that outlives its context may be in the driver, or close the device,
    /// while the process takes the driver down, and crash there.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn gather(&self) {
        let left = std::mem::take(&mut *lock(&self.left_behind));
        // A waker that such a thread calls may drop the context.
        let others = left.into_iter().filter(|thread| thread.thread().id() != std::thread::current().id());
        for thread in others {
            let _ = thread.join();
        }
    }

    pub(super) fn alive(&self) -> Result<()> {
        match &*lock(&self.lost) {
            Some(reason) => Err(Error::DeviceLost(reason.clone())),
            None => Ok(()),
        }
    }

    /// From now on every call fails for this reason.
    pub(super) fn mark_lost(&self, reason: String) {
        *lock(&self.lost) = Some(reason);
    }

    /// Where the loss is told, for whoever may outlive this.
    pub(super) fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// Lets the device tell that it is lost, and what it has finished; it does so only when it is polled.
    pub(super) fn poll(&self) {
        // An error here is a loss as well, and the callback has it.
        let _ = self.raw.poll(wgpu::PollType::Poll);
    }

    /// Waits for the device, as long as a user would.
    pub(super) fn wait_a_while(&self) {
        let timeout = Some(Duration::from_secs(1));
        let _ = self.raw.poll(wgpu::PollType::Wait { submission_index: None, timeout });
    }

    /// What to report for an error of the API: on a lost device everything fails, and the loss is the reason. It is told
    /// once the queue is empty.
    pub(super) fn fault(&self, error: Error) -> Error {
        self.wait_a_while();
        self.alive().err().unwrap_or(error)
    }

    /// Errors of earlier calls.
    pub(super) fn errors(&self) -> std::sync::MutexGuard<'_, PendingErrors> {
        lock(&self.errors)
    }

    /// The first error of earlier calls that is known by now.
    pub(super) fn first_error(&self) -> Result<()> {
        self.errors().take().map_or(Ok(()), Err)
    }

    /// What a call of the API makes, or the error that it makes where that is known at once.
    pub(super) fn attempt<T>(&self, call: impl FnOnce(&wgpu::Device) -> T) -> Result<T> {
        let scopes = Scopes::push(&self.raw);
        let made = call(&self.raw);
        let failed = scopes.pop(&mut self.errors());
        failed.map_or(Ok(made), Err)
    }
}
