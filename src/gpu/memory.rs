//! Buffers, the pool they come from, and the account of both.

use super::context::{Inner, lock};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// What the context holds on the device, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Bytes of buffers that tensors use now.
    pub live: u64,
    /// Most bytes ever live at once since the last reset.
    pub peak: u64,
    /// Bytes kept for reuse by the pool.
    pub pooled: u64,
    /// Number of device allocations made so far.
    pub allocations: u64,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    free: BTreeMap<u64, Vec<(u64, wgpu::Buffer)>>,
    stats: MemoryStats,
    next_id: u64,
    pub(super) budget: Option<u64>,
}

/// Bytes really allocated for a request: multiples of 256 up to 64 KiB, then eighths of a power of two, so that a
/// reused buffer wastes at most an eighth.
pub(super) fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(4);
    let step = if bytes <= 64 << 10 { 256 } else { bytes.next_power_of_two() / 16 };
    bytes.div_ceil(step) * step
}

#[derive(Debug)]
pub(super) struct BufferInner {
    pub(super) raw: wgpu::Buffer,
    pub(super) id: u64,
    pub(super) size: u64,
    owner: Weak<Inner>,
    /// An app's buffer is neither counted nor pooled.
    pub(super) borrowed: bool,
}

/// A storage buffer, returned to the context's pool when the last tensor on it is dropped.
#[derive(Debug, Clone)]
pub struct Buffer(pub(super) Arc<BufferInner>);

impl Buffer {
    /// Bytes that may be bound.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// The buffer of the GPU API, for an app that wants to read it in its own passes.
    pub fn raw(&self) -> &wgpu::Buffer {
        &self.0.raw
    }

    /// True for the same memory, also where an app's buffer was adopted twice.
    pub fn same(&self, other: &Self) -> bool {
        self.0.raw == other.0.raw
    }
}

impl Drop for BufferInner {
    fn drop(&mut self) {
        if self.borrowed {
            return;
        }
        if let Some(owner) = self.owner.upgrade() {
            let mut pool = lock(&owner.pool);
            pool.stats.live -= self.size;
            pool.stats.pooled += self.size;
            pool.free.entry(self.size).or_default().push((self.id, self.raw.clone()));
        }
    }
}

const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

impl Inner {
    /// A storage buffer of at least `bytes`. Its contents are undefined: the pool does not clear.
    ///
    /// Reuse before the last reader ran is safe because all work goes through one recorder, in order.
    pub(super) fn allocate(self: &Arc<Self>, bytes: u64) -> Result<Buffer> {
        self.alive()?;
        // A request just below the device's largest buffer must not fail for the pool's rounding.
        let size = Some(size_class(bytes))
            .filter(|size| *size <= self.caps.max_buffer)
            .unwrap_or(bytes.next_multiple_of(4));
        let refuse = |live: u64, limit: Option<u64>| Error::OutOfMemory { requested: size, live, limit };
        let mut pool = lock(&self.pool);
        if let Some(limit) = pool.budget
            && pool.stats.live + size > limit
        {
            return Err(refuse(pool.stats.live, Some(limit)));
        }
        let reused = pool.free.get_mut(&size).and_then(Vec::pop);
        if reused.is_none() && size > self.caps.max_buffer {
            return Err(Error::Unsupported {
                what: format!("a buffer of {size} bytes"),
                adapter: self.caps.adapter.clone(),
                reason: format!("its largest buffer is {} bytes", self.caps.max_buffer),
            });
        }
        // Counted before it exists, so that two threads cannot pass the budget together.
        pool.stats.live += size;
        let (id, raw) = match reused {
            Some(found) => {
                pool.stats.pooled -= size;
                found
            }
            None => {
                pool.next_id += 1;
                let id = pool.next_id;
                drop(pool);
                let created = self.create_buffer(size);
                pool = lock(&self.pool);
                match created {
                    Ok(raw) => {
                        pool.stats.allocations += 1;
                        (id, raw)
                    }
                    Err(error) => {
                        pool.stats.live -= size;
                        return Err(error);
                    }
                }
            }
        };
        pool.stats.peak = pool.stats.peak.max(pool.stats.live);
        Ok(Buffer(Arc::new(BufferInner { raw, id, size, owner: Arc::downgrade(self), borrowed: false })))
    }

    /// Creates a buffer; when the device is full, gives the pool back and tries once more.
    fn create_buffer(&self, size: u64) -> Result<wgpu::Buffer> {
        // A dry run counts the bytes and keeps a word to tell buffers apart.
        let size_made = if self.plan { 4 } else { size };
        let descriptor =
            wgpu::BufferDescriptor { label: None, size: size_made, usage: USAGE, mapped_at_creation: false };
        let attempt = || {
            let scopes = super::error_scope::Scopes::push(&self.device);
            let raw = self.device.create_buffer(&descriptor);
            let failed = scopes.pop(&mut lock(&self.errors), super::error_scope::describe);
            // A lost device makes dead buffers without an error.
            self.look_for_loss();
            self.alive()?;
            failed.map_or(Ok(raw), Err)
        };
        match attempt() {
            Err(Error::OutOfMemory { .. }) => {
                self.trim();
                attempt().map_err(|error| match error {
                    Error::OutOfMemory { .. } => {
                        let pool = lock(&self.pool);
                        // What was asked for is already counted.
                        let live = pool.stats.live.saturating_sub(size);
                        Error::OutOfMemory { requested: size, live, limit: pool.budget }
                    }
                    other => other,
                })
            }
            result => result,
        }
    }

    /// Wraps an app's buffer, which must allow storage and copies.
    pub(super) fn adopt(self: &Arc<Self>, raw: &wgpu::Buffer) -> Result<Buffer> {
        if !raw.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::input("buffer", "an app's buffer needs the STORAGE usage"));
        }
        let mut pool = lock(&self.pool);
        pool.next_id += 1;
        let id = pool.next_id;
        Ok(Buffer(Arc::new(BufferInner {
            raw: raw.clone(),
            id,
            size: raw.size(),
            owner: Arc::downgrade(self),
            borrowed: true,
        })))
    }

    /// Frees everything the pool keeps.
    pub(super) fn trim(&self) {
        let mut pool = lock(&self.pool);
        let freed = std::mem::take(&mut pool.free);
        pool.stats.pooled = 0;
        drop(pool);
        // Work recorded but not submitted may still name these buffers. No work recorded from here on can: the pool
        // has forgotten them.
        if let Err(error) = self.submit() {
            lock(&self.errors).push(error);
        }
        lock(&self.bind_groups).clear();
        for (_, raw) in freed.into_values().flatten() {
            raw.destroy();
        }
    }

    pub(super) fn memory(&self) -> MemoryStats {
        lock(&self.pool).stats
    }

    pub(super) fn reset_peak(&self) {
        let mut pool = lock(&self.pool);
        pool.stats.peak = pool.stats.live;
    }
}
