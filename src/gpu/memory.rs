//! Buffers, the pool they come from, and the account of both.

use super::context::{Inner, lock};
use super::track::{self, Track};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// What the context holds on the device, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Bytes of buffers that tensors use now.
    pub live: u64,
    /// Most bytes ever live at once since the last reset.
    pub peak: u64,
    /// Bytes kept for reuse by the pool: with `live` at most a quarter more than the most that was ever live, and never
    /// more than the budget.
    pub pooled: u64,
    /// Number of device allocations made so far.
    pub allocations: u64,
}

/// A buffer that nobody uses.
#[derive(Debug)]
struct Free {
    id: u64,
    raw: wgpu::Buffer,
    /// Counts up: of two free buffers the one with less has been idle for longer.
    since: u64,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    free: BTreeMap<u64, Vec<Free>>,
    stats: MemoryStats,
    /// Most bytes live at once since the pool was last emptied.
    high_water: u64,
    clock: u64,
    pub(super) budget: Option<u64>,
}

/// What the pool may keep however little was ever live.
const KEPT_ALWAYS: u64 = 16 << 20;

impl Pool {
    /// Bytes that may be held, live and free together.
    fn most_held(&self) -> u64 {
        let high_water = self.high_water.max(self.stats.live);
        let by_use = high_water.saturating_add(high_water / 4).max(KEPT_ALWAYS);
        by_use.min(self.budget.unwrap_or(u64::MAX))
    }

    /// Takes out buffers that have been idle longest until `more` bytes can be had besides.
    fn make_room(&mut self, more: u64) -> Vec<Free> {
        let mut out = Vec::new();
        while self.stats.pooled > 0
            && self.stats.live.saturating_add(self.stats.pooled).saturating_add(more) > self.most_held()
        {
            let oldest = self.free.iter().filter_map(|(size, all)| Some((all.first()?.since, *size))).min();
            let Some((_, size)) = oldest else { break };
            let Some(all) = self.free.get_mut(&size) else { break };
            out.push(all.remove(0));
            if all.is_empty() {
                self.free.remove(&size);
            }
            self.stats.pooled -= size;
        }
        out
    }

    fn note_peak(&mut self) {
        self.stats.peak = self.stats.peak.max(self.stats.live);
        self.high_water = self.high_water.max(self.stats.live);
    }
}

/// Bytes really allocated for a request: multiples of 256 up to 64 KiB, then eighths of a power of two, so that a
/// reused buffer wastes at most an eighth. `None` where that is more than any device has.
pub(super) fn size_class(bytes: u64) -> Option<u64> {
    let bytes = bytes.max(4);
    let step = if bytes <= 64 << 10 { 256 } else { bytes.checked_next_power_of_two()? / 16 };
    bytes.checked_next_multiple_of(step)
}

/// The next number of a buffer; none is given twice in a process.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[derive(Debug)]
pub(super) struct BufferInner {
    pub(super) raw: wgpu::Buffer,
    pub(super) id: u64,
    pub(super) size: u64,
    pub(super) track: Arc<Track>,
    owner: Weak<Inner>,
    /// Number of the context it belongs to.
    pub(super) context: u64,
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

    /// Number of commands that have written to it: what was computed from an earlier version no longer belongs to it.
    pub(crate) fn version(&self) -> u64 {
        self.0.track.version()
    }

    /// The device can copy from it. Only an app's buffer may lack that.
    pub(crate) fn can_be_copied_from(&self) -> bool {
        self.0.raw.usage().contains(wgpu::BufferUsages::COPY_SRC)
    }

    /// A handle that does not keep it from the pool.
    pub(crate) fn watch(&self) -> BufferWatch {
        BufferWatch(Arc::downgrade(&self.0))
    }
}

/// A buffer that is looked at and not kept.
#[derive(Debug, Clone)]
pub(crate) struct BufferWatch(Weak<BufferInner>);

impl BufferWatch {
    /// Its version, unless it is back in the pool.
    pub(crate) fn version(&self) -> Option<u64> {
        self.0.upgrade().map(|buffer| buffer.track.version())
    }
}

impl Drop for BufferInner {
    fn drop(&mut self) {
        if self.borrowed {
            track::forget_unused();
            return;
        }
        if let Some(owner) = self.owner.upgrade() {
            let mut pool = lock(&owner.pool);
            pool.stats.live -= self.size;
            pool.stats.pooled += self.size;
            pool.clock += 1;
            let since = pool.clock;
            pool.free.entry(self.size).or_default().push(Free { id: self.id, raw: self.raw.clone(), since });
            let surplus = pool.make_room(0);
            drop(pool);
            owner.let_go(&surplus);
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
        let class = size_class(bytes).filter(|size| *size <= self.caps.max_buffer);
        let exact = bytes.checked_next_multiple_of(4).filter(|size| *size <= self.caps.max_buffer);
        let mut pool = lock(&self.pool);
        let requested = class.or(exact).unwrap_or(bytes);
        if let Some(limit) = pool.budget
            && pool.stats.live.saturating_add(requested) > limit
        {
            return Err(Error::OutOfMemory { requested, live: pool.stats.live, limit: Some(limit) });
        }
        let Some(size) = class.or(exact) else {
            return Err(Error::Unsupported {
                what: format!("a buffer of {bytes} bytes"),
                adapter: self.caps.adapter.clone(),
                reason: format!("its largest buffer is {} bytes", self.caps.max_buffer),
            });
        };
        let reused = pool.free.get_mut(&size).and_then(Vec::pop);
        if pool.free.get(&size).is_some_and(Vec::is_empty) {
            pool.free.remove(&size);
        }
        // Counted before it exists, so that two threads cannot pass the budget together.
        pool.stats.live += size;
        let (id, raw) = match reused {
            Some(found) => {
                pool.stats.pooled -= size;
                (found.id, found.raw)
            }
            None => {
                let surplus = pool.make_room(0);
                drop(pool);
                self.let_go(&surplus);
                let created = self.create_buffer(size);
                pool = lock(&self.pool);
                match created {
                    Ok(raw) => {
                        pool.stats.allocations += 1;
                        (next_id(), raw)
                    }
                    Err(error) => {
                        pool.stats.live -= size;
                        return Err(error);
                    }
                }
            }
        };
        pool.note_peak();
        drop(pool);
        Ok(Buffer(Arc::new(BufferInner {
            raw,
            id,
            size,
            track: Arc::default(),
            owner: Arc::downgrade(self),
            context: self.id,
            borrowed: false,
        })))
    }

    /// Gives free buffers back to the device, once recorded work that names them is done.
    fn let_go(&self, surplus: &[Free]) {
        if !surplus.is_empty() {
            let gone = |id: &u64| surplus.iter().any(|free| free.id == *id);
            lock(&self.bind_groups).retain(|(_, bindings), _| !bindings.iter().any(|(id, _, _)| gone(id)));
        }
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
            let failed = scopes.pop(&mut lock(&self.errors));
            // A lost device makes dead buffers without an error.
            self.look_for_loss();
            self.alive()?;
            failed.map_or(Ok(raw), Err)
        };
        match attempt() {
            Err(Error::OutOfMemory { .. }) => {
                self.trim();
                // What the pool gave back is free once the device has finished with it.
                self.wait_a_while();
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

    /// Wraps an app's buffer, which must allow storage.
    pub(super) fn adopt(self: &Arc<Self>, raw: &wgpu::Buffer) -> Result<Buffer> {
        if !raw.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::input("app buffer", "kernels can use it with the usage STORAGE only"));
        }
        Ok(Buffer(Arc::new(BufferInner {
            raw: raw.clone(),
            id: next_id(),
            size: raw.size(),
            track: track::of_app_buffer(raw),
            owner: Arc::downgrade(self),
            context: self.id,
            borrowed: true,
        })))
    }

    /// Frees everything the pool keeps.
    pub(super) fn trim(&self) {
        let mut pool = lock(&self.pool);
        let freed = std::mem::take(&mut pool.free);
        pool.stats.pooled = 0;
        pool.high_water = pool.stats.live;
        drop(pool);
        // Work recorded but not submitted may still name these buffers. No work recorded from here on can: the pool
        // has forgotten them.
        if let Err(error) = self.submit() {
            lock(&self.errors).push(error);
        }
        lock(&self.bind_groups).clear();
        for free in freed.into_values().flatten() {
            free.raw.destroy();
        }
    }

    pub(super) fn memory(&self) -> MemoryStats {
        lock(&self.pool).stats
    }

    pub(super) fn reset_peak(&self) {
        let mut pool = lock(&self.pool);
        pool.stats.peak = pool.stats.live;
    }

    /// Sets the budget; what is free and above it goes.
    pub(super) fn set_budget(&self, bytes: Option<u64>) {
        let mut pool = lock(&self.pool);
        pool.budget = bytes;
        let surplus = pool.make_room(0);
        drop(pool);
        self.let_go(&surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_waste_little_and_end_where_numbers_do() {
        for bytes in [0, 1, 4, 255, 257, 65_537, (1 << 30) + 1, 3 << 40] {
            let class = size_class(bytes).unwrap_or(0);
            assert!(class >= bytes && class - bytes <= (bytes / 8).max(256), "{bytes} became {class}");
        }
        for bytes in [u64::MAX, u64::MAX - 3, (1 << 63) + 2] {
            assert_eq!(size_class(bytes), None, "{bytes}");
        }
    }
}
