//! Reading results without blocking the caller's thread.

use super::device::Device;
use super::lock::lock;
use crate::{Error, Result};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// What a callback answers, once.
#[derive(Debug, Default)]
struct Slot {
    value: Option<Result<()>>,
    delivered: bool,
    /// A thread is at the driver's for it.
    driven: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default, Clone)]
struct Answer(Arc<Mutex<Slot>>);

impl Answer {
    fn deliver(&self, value: Result<()>) {
        let mut slot = lock(&self.0);
        // The first word counts: a device that dies after the callback must not undo it.
        if !slot.delivered {
            slot.delivered = true;
            slot.value = Some(value);
        }
        let waker = slot.waker.take();
        // Not under the lock: whoever is woken may look at once.
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing is left to wait for: delivered, or nobody waits any more.
    #[cfg(not(target_arch = "wasm32"))]
    fn settled(&self) -> bool {
        lock(&self.0).delivered || Arc::strong_count(&self.0) == 1
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn drive(&self, driven: bool) {
        let mut slot = lock(&self.0);
        slot.driven = driven;
        let waker = slot.waker.take().filter(|_| !driven);
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The answer, when no thread is with the driver for it any more.
    async fn wait(&self, driver: Driver) -> Result<()> {
        let answer = poll_fn(|cx| {
            let mut slot = lock(&self.0);
            let ready = !slot.driven;
            match slot.value.take_if(|_| ready) {
                Some(value) => Poll::Ready(value),
                None => {
                    slot.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        driver.join();
        answer
    }
}

/// How long a device with nothing left to do may leave a callback uncalled before it counts as gone.
#[cfg(not(target_arch = "wasm32"))]
const GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// Drives callbacks on native backends, where nothing else does, from a thread of its own so that the caller's executor is
/// not blocked. Browsers drive them by themselves.
struct Driver {
    #[cfg(not(target_arch = "wasm32"))]
    thread: Option<std::thread::JoinHandle<()>>,
    #[cfg(not(target_arch = "wasm32"))]
    device: Arc<Device>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Driver {
    fn start(device: &Arc<Device>, answer: &Answer) -> Self {
        let (thread_device, thread_answer) = (device.clone(), answer.clone());
        answer.drive(true);
        let work = move || {
            poll_until_settled(&thread_device, &thread_answer);
            drop(thread_device);
            thread_answer.drive(false);
        };
        let thread = std::thread::Builder::new().name("foveal readback".into()).spawn(work);
        if thread.is_err() {
            // No thread is to be had: the caller's waits.
            poll_until_settled(device, answer);
            answer.drive(false);
        }
        Self { thread: thread.ok(), device: device.clone() }
    }

    /// Waits for the thread's last instructions. A thread that outlives what it was started for would give back what the
    /// driver keeps for it while the process takes the driver down, and crash there.
    fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A future that is dropped does not wait for the device: the context does, when it goes.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.device.leave_behind(thread);
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl Driver {
    fn start(_device: &Arc<Device>, _answer: &Answer) -> Self {
        Self {}
    }

    fn join(self) {}
}

#[cfg(not(target_arch = "wasm32"))]
fn poll_until_settled(device: &Device, answer: &Answer) {
    let mut idle_since = None;
    while !answer.settled() {
        if let Err(error) = device.raw.poll(wgpu::PollType::wait_indefinitely()) {
            answer.deliver(Err(Error::Gpu(error.to_string())));
        } else if let Err(lost) = device.alive() {
            answer.deliver(Err(lost));
        } else if idle_since.get_or_insert_with(std::time::Instant::now).elapsed() > GRACE {
            // An app's device may be lost without a word to us.
            answer.deliver(Err(Error::DeviceLost("it stopped answering".into())));
        } else if !answer.settled() {
            // Another thread's poll has taken the callback and is about to call it.
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    }
}

/// Resolves when the device has finished everything submitted.
pub(super) async fn drained(device: &Arc<Device>) -> Result<()> {
    let done = Answer::default();
    let callback = done.clone();
    device.queue.on_submitted_work_done(move || callback.deliver(Ok(())));
    let outcome = done.wait(Driver::start(device, &done)).await;
    device.alive()?;
    outcome?;
    device.first_error()
}

/// Maps a buffer with usage MAP_READ and copies it out.
pub(super) async fn map(device: &Arc<Device>, staging: &wgpu::Buffer, size: u64) -> Result<Vec<u8>> {
    let done = Answer::default();
    let callback = done.clone();
    let asked = device.attempt(|_| {
        staging.map_async(wgpu::MapMode::Read, 0..size, move |r| {
            callback.deliver(r.map_err(|e| Error::Gpu(e.to_string())));
        });
    });
    asked.map_err(|error| device.fault(error))?;
    let mapped = done.wait(Driver::start(device, &done)).await;
    device.alive()?;
    mapped.map_err(|error| device.fault(error))?;
    let mut bytes = room(size)?;
    bytes.extend_from_slice(&staging.get_mapped_range(0..size).map_err(|e| Error::Gpu(e.to_string()))?);
    staging.unmap();
    device.first_error().map(|()| bytes)
}

/// Host memory for so many bytes, or an error where there is none.
pub(super) fn room(size: u64) -> Result<Vec<u8>> {
    let refuse = || Error::OutOfMemory { requested: size, live: 0, limit: None };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size).map_err(|_| refuse())?).map_err(|_| refuse())?;
    Ok(bytes)
}

/// A buffer of so many bytes from which the host reads.
pub(super) fn staging(device: &Device, size: u64) -> Result<wgpu::Buffer> {
    let descriptor = wgpu::BufferDescriptor {
        label: Some("readback"),
        size,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    };
    device.attempt(|raw| raw.create_buffer(&descriptor)).map_err(|error| {
        device.fault(match error {
            Error::OutOfMemory { live, limit, .. } => Error::OutOfMemory { requested: size, live, limit },
            other => other,
        })
    })
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::gpu::Caps;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[test]
    fn a_thread_whose_future_is_dropped_is_waited_for_later() {
        let device = Device::noop(Caps::webgpu_default());
        let ended = Arc::new(AtomicBool::new(false));
        let thread = {
            let ended = ended.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                ended.store(true, Ordering::SeqCst);
            })
        };
        drop(Driver { thread: Some(thread), device: device.clone() });
        assert!(!ended.load(Ordering::SeqCst), "a dropped future does not wait");
        device.gather();
        assert!(ended.load(Ordering::SeqCst));
    }
}
