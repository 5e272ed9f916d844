//! Reading results without blocking the caller's thread.

use super::context::{Context, Inner, lock};
use super::error_scope::Scopes;
use super::memory::Buffer;
use crate::{Error, Result};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// A value that a callback delivers once.
#[derive(Debug)]
struct Delivery<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> Clone for Delivery<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Delivery<T> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((None, None))))
    }

    fn deliver(&self, value: T) {
        let mut slot = lock(&self.0);
        // The first word counts: a device that dies after the callback must not undo it.
        if slot.0.is_none() {
            slot.0 = Some(value);
        }
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    }

    async fn wait(&self) -> T {
        poll_fn(|cx| {
            let mut slot = lock(&self.0);
            match slot.0.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    slot.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Drives callbacks on native backends, where nothing else does, from a thread of its own so that the caller's
/// executor is not blocked. Browsers drive them by themselves.
#[cfg(not(target_arch = "wasm32"))]
fn drive(inner: &Inner, failed: impl FnOnce(String) + Send + 'static) {
    let device = inner.device.clone();
    std::thread::spawn(move || {
        if let Err(error) = device.poll(wgpu::PollType::wait_indefinitely()) {
            failed(error.to_string());
        } else {
            failed("the device stopped answering".into());
        }
    });
}

#[cfg(target_arch = "wasm32")]
fn drive(_inner: &Inner, _failed: impl FnOnce(String) + 'static) {}

/// Resolves when the device has finished everything submitted.
pub(super) async fn drained(inner: &Arc<Inner>) -> Result<()> {
    let done = Delivery::<Result<(), String>>::new();
    let callback = done.clone();
    inner.queue.on_submitted_work_done(move || callback.deliver(Ok(())));
    let failed = done.clone();
    drive(inner, move |reason| failed.deliver(Err(reason)));
    done.wait().await.map_err(Error::DeviceLost)?;
    inner.alive()?;
    lock(&inner.errors).take().map_or(Ok(()), Err)
}

/// Maps a buffer with usage MAP_READ and copies it out.
pub(super) async fn map(inner: &Arc<Inner>, staging: &wgpu::Buffer, size: u64) -> Result<Vec<u8>> {
    let done = Delivery::<Result<(), String>>::new();
    let callback = done.clone();
    let scopes = Scopes::push(&inner.device);
    staging.map_async(wgpu::MapMode::Read, 0..size, move |r| callback.deliver(r.map_err(|e| e.to_string())));
    if let Some(error) = scopes.pop(&mut lock(&inner.errors), super::error_scope::describe) {
        return Err(error);
    }
    let failed = done.clone();
    drive(inner, move |reason| failed.deliver(Err(reason)));
    let mapped = done.wait().await;
    inner.alive()?;
    mapped.map_err(Error::Gpu)?;
    let bytes = staging.get_mapped_range(0..size).map_err(|e| Error::Gpu(e.to_string()))?.to_vec();
    staging.unmap();
    lock(&inner.errors).take().map_or(Ok(bytes), Err)
}

impl Context {
    /// Bytes of a buffer after all work recorded so far; offset and size in bytes, multiples of 4.
    pub async fn read(&self, buffer: &Buffer, offset: u64, size: u64) -> Result<Vec<u8>> {
        let inner = &self.inner;
        inner.alive()?;
        if size == 0 {
            return Ok(Vec::new());
        }
        let scopes = Scopes::push(&inner.device);
        let staging = inner.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        if let Some(error) = scopes.pop(&mut lock(&inner.errors), super::error_scope::describe) {
            return Err(error);
        }
        inner.copy_raw(buffer.raw(), offset, &staging, 0, size)?;
        inner.submit()?;
        map(inner, &staging, size).await
    }
}
