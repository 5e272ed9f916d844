//! Buffers, the pool they come from, and the account of both.

use super::bind_groups::{BindGroups, Bound};
use super::checks;
use super::device::Device;
use super::identity::Identity;
use super::lock::lock;
use super::pace::Pacer;
use super::track::{self, Access, Track, Use};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// What the context holds on the device, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
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
struct Account {
    free: BTreeMap<u64, Vec<Free>>,
    stats: MemoryStats,
    /// Most bytes live at once since the pool was last emptied.
    high_water: u64,
    clock: u64,
    budget: Option<u64>,
}

/// What the pool may keep however little was ever live.
const KEPT_ALWAYS: u64 = 16 << 20;

impl Account {
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
    owner: Weak<Pool>,
    /// The context it belongs to.
    pub(super) context: Identity,
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
    pub(super) fn bytes(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.size)
    }

    pub(super) fn bound(&self) -> Bound<'_> {
        let BufferInner { raw, id, borrowed, .. } = &*self.buffer.0;
        Bound { id: *id, raw, offset: self.offset, size: self.size, borrowed: *borrowed }
    }

    pub(super) fn used(&self, access: Access) -> Use {
        let renews = access == Access::Write;
        Use { track: self.buffer.0.track.clone(), bytes: self.bytes(), access, renews }
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
        if let Some(pool) = self.owner.upgrade() {
            let mut account = lock(&pool.account);
            account.stats.live -= self.size;
            account.stats.pooled += self.size;
            account.clock += 1;
            let since = account.clock;
            let free = Free { id: self.id, raw: self.raw.clone(), since };
            account.free.entry(self.size).or_default().push(free);
            let surplus = account.make_room(0);
            drop(account);
            pool.let_go(&surplus);
        }
    }
}

const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Where buffers come from, and where they go when nobody uses them.
#[derive(Debug)]
pub(super) struct Pool {
    account: Mutex<Account>,
    /// The context whose buffers these are.
    context: Identity,
    bind_groups: Arc<BindGroups>,
}

impl Pool {
    pub(super) fn new(context: Identity, budget: Option<u64>, bind_groups: Arc<BindGroups>) -> Self {
        Self { account: Mutex::new(Account { budget, ..Account::default() }), context, bind_groups }
    }

    /// A storage buffer of at least `bytes`. Its contents are undefined: the pool does not clear. Where the device is full,
    /// `make_room` is called and it is tried once more.
    ///
    /// Reuse before the last reader ran is safe because all work goes through one recorder, in order.
    pub(super) fn allocate(
        self: &Arc<Self>,
        device: &Device,
        pacer: &Pacer,
        bytes: u64,
        make_room: impl FnOnce(),
    ) -> Result<Buffer> {
        device.alive()?;
        // A request just below the device's largest buffer must not fail for the pool's rounding.
        let most = device.caps.max_buffer;
        let class = size_class(bytes).filter(|size| *size <= most);
        let exact = bytes.checked_next_multiple_of(4).filter(|size| *size <= most);
        let mut account = lock(&self.account);
        let requested = class.or(exact).unwrap_or(bytes);
        if let Some(limit) = account.budget
            && account.stats.live.saturating_add(requested) > limit
        {
            return Err(Error::OutOfMemory { requested, live: account.stats.live, limit: Some(limit) });
        }
        let Some(size) = class.or(exact) else {
            let (what, reason) =
                (format!("a buffer of {bytes} bytes"), format!("its largest buffer is {most} bytes"));
            return Err(Error::unsupported(what, &device.caps.adapter, reason));
        };
        let reused = account.free.get_mut(&size).and_then(Vec::pop);
        if account.free.get(&size).is_some_and(Vec::is_empty) {
            account.free.remove(&size);
        }
        // Counted before it exists, so that two threads cannot pass the budget together.
        account.stats.live += size;
        let (id, raw) = match reused {
            Some(found) => {
                account.stats.pooled -= size;
                (found.id, found.raw)
            }
            None => {
                let surplus = account.make_room(0);
                drop(account);
                self.let_go(&surplus);
                let created = self.create_buffer(device, pacer, size, make_room);
                account = lock(&self.account);
                match created {
                    Ok(raw) => {
                        account.stats.allocations += 1;
                        (next_id(), raw)
                    }
                    Err(error) => {
                        account.stats.live -= size;
                        return Err(error);
                    }
                }
            }
        };
        account.note_peak();
        drop(account);
        Ok(Buffer(Arc::new(BufferInner {
            raw,
            id,
            size,
            track: Arc::default(),
            owner: Arc::downgrade(self),
            context: self.context.clone(),
            borrowed: false,
        })))
    }

    /// Gives free buffers back to the device, once recorded work that names them is done.
    fn let_go(&self, surplus: &[Free]) {
        self.bind_groups.forget(&surplus.iter().map(|free| free.id).collect::<Vec<_>>());
    }

    /// Creates a buffer; when the device is full, has room made and tries once more.
    fn create_buffer(
        &self,
        device: &Device,
        pacer: &Pacer,
        size: u64,
        make_room: impl FnOnce(),
    ) -> Result<wgpu::Buffer> {
        // A dry run counts the bytes and keeps a word to tell buffers apart.
        let size_made = if device.plan { 4 } else { size };
        let descriptor =
            wgpu::BufferDescriptor { label: None, size: size_made, usage: USAGE, mapped_at_creation: false };
        let attempt = || {
            let made = device.attempt(|raw| raw.create_buffer(&descriptor));
            // A lost device makes dead buffers without an error.
            pacer.poll(device);
            device.alive()?;
            made
        };
        match attempt() {
            Err(Error::OutOfMemory { .. }) => {
                make_room();
                // What was given back is free once the device has finished with it.
                device.wait_a_while();
                attempt().map_err(|error| match error {
                    Error::OutOfMemory { .. } => {
                        let account = lock(&self.account);
                        // What was asked for is already counted.
                        let live = account.stats.live.saturating_sub(size);
                        Error::OutOfMemory { requested: size, live, limit: account.budget }
                    }
                    other => other,
                })
            }
            result => result,
        }
    }

    /// Wraps an app's buffer, which must allow storage.
    pub(super) fn adopt(self: &Arc<Self>, raw: &wgpu::Buffer) -> Result<Buffer> {
        checks::usage("app buffer", raw, wgpu::BufferUsages::STORAGE, "kernels bind it")?;
        Ok(Buffer(Arc::new(BufferInner {
            raw: raw.clone(),
            id: next_id(),
            size: raw.size(),
            track: track::of_app_buffer(raw),
            owner: Arc::downgrade(self),
            context: self.context.clone(),
            borrowed: true,
        })))
    }

    /// Forgets everything it keeps; the buffers are handed out, for recorded work may still name them.
    pub(super) fn empty(&self) -> Vec<wgpu::Buffer> {
        let mut account = lock(&self.account);
        let freed = std::mem::take(&mut account.free);
        account.stats.pooled = 0;
        account.high_water = account.stats.live;
        freed.into_values().flatten().map(|free| free.raw).collect()
    }

    pub(super) fn stats(&self) -> MemoryStats {
        lock(&self.account).stats
    }

    pub(super) fn reset_peak(&self) {
        let mut account = lock(&self.account);
        account.stats.peak = account.stats.live;
    }

    /// Sets the budget; what is free and above it goes.
    pub(super) fn set_budget(&self, bytes: Option<u64>) {
        let mut account = lock(&self.account);
        account.budget = bytes;
        let surplus = account.make_room(0);
        drop(account);
        self.let_go(&surplus);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]
mod tests {
    use super::*;
    use crate::gpu::Caps;

    fn pool(budget: Option<u64>) -> (Arc<Device>, Pacer, Arc<Pool>) {
        let device = Device::noop(Caps { max_buffer: 1 << 20, ..Caps::webgpu_default() });
        let pacer = Pacer::new(&device.caps, None);
        (device, pacer, Arc::new(Pool::new(Identity::new("a test"), budget, Arc::default())))
    }

    #[test]
    fn a_buffer_that_nobody_uses_is_the_next_of_its_size() {
        let (device, pacer, pool) = pool(None);
        let allocate = |bytes| pool.allocate(&device, &pacer, bytes, || ()).unwrap();
        let first = allocate(1000);
        let id = first.0.id;
        assert_eq!(first.size(), 1024);
        assert!(first.0.context == pool.context);
        drop(first);
        assert_eq!((pool.stats().live, pool.stats().pooled), (0, 1024));
        let again = allocate(1024);
        assert_eq!((again.0.id, pool.stats().pooled, pool.stats().allocations), (id, 0, 1));
        assert_ne!(allocate(1024).0.id, id, "in use");
        assert_eq!((pool.stats().peak, pool.empty().len()), (2048, 1));
    }

    #[test]
    fn neither_budget_nor_device_is_passed() {
        let (device, pacer, pool) = pool(Some(4096));
        let allocate = |bytes| pool.allocate(&device, &pacer, bytes, || ());
        let held = allocate(3000).unwrap();
        assert!(matches!(
            allocate(2000),
            Err(Error::OutOfMemory { requested: 2048, live: 3072, limit: Some(4096) })
        ));
        drop(held);
        assert!(allocate(2000).is_ok());
        pool.set_budget(None);
        assert!(matches!(allocate((1 << 20) + 4), Err(Error::Unsupported { .. })));
        assert!(allocate(1 << 20).is_ok());
        device.mark_lost("a test".into());
        assert!(matches!(allocate(4), Err(Error::DeviceLost(_))));
    }

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
