//! What is known of a buffer's contents: how often they were written, and which of them were lost.
//!
//! A submission that the API refuses computes nothing, and what its commands would have written holds what the memory held
//! before. So each command says what it reads and writes; where its submission fails, the written ranges are marked, and
//! whoever reads one of them gets an error instead of old memory. The mark goes when all of the range is written again.

use super::lock::lock;
use crate::{Error, Result};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read only.
    Read,
    /// Written, every element, without being read first.
    Write,
    /// Read and written.
    ReadWrite,
}

/// Bytes that were never computed, and why.
#[derive(Debug, Clone)]
struct Loss {
    bytes: Range<u64>,
    reason: Arc<str>,
}

/// Who records work on buffers that others record on too.
pub(super) trait Recording {
    /// Hands over what is recorded; an error is kept for whoever asks next.
    fn hand_over(&self);
}

#[cfg(not(target_arch = "wasm32"))]
pub(super) type AnyRecording = dyn Recording + Send + Sync;
/// A browser's objects stay on the thread that made them.
#[cfg(target_arch = "wasm32")]
pub(super) type AnyRecording = dyn Recording;

/// The contents of one buffer. Tensors that share the buffer share it, and so do recorded commands, which thereby do not
/// keep the buffer from its pool.
#[derive(Default)]
pub(super) struct Track {
    version: AtomicU64,
    losses: Mutex<Vec<Loss>>,
    /// Who last recorded work on the buffer; see [`Shared`].
    recorded_by: Mutex<Option<Weak<AnyRecording>>>,
}

impl std::fmt::Debug for Track {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Track")
            .field("version", &self.version)
            .field("losses", &self.losses)
            .finish_non_exhaustive()
    }
}

/// Something was lost in this process: until then nobody has to look.
static ANY: AtomicBool = AtomicBool::new(false);

/// Whether anything was ever lost.
pub(super) fn any_losses() -> bool {
    ANY.load(Ordering::Acquire)
}

fn meet(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

impl Track {
    /// Number of commands that have written to the buffer.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Why some of these bytes were never computed, if so.
    pub(super) fn lost(&self, bytes: &Range<u64>) -> Option<Arc<str>> {
        lock(&self.losses).iter().find(|loss| meet(&loss.bytes, bytes)).map(|loss| loss.reason.clone())
    }

    /// An error where some of these bytes were never computed.
    pub(super) fn require(&self, bytes: &Range<u64>) -> Result<()> {
        self.lost(bytes).map_or(Ok(()), |reason| Err(Error::Lost(reason.to_string())))
    }

    fn lose(&self, bytes: Range<u64>, reason: &Arc<str>) {
        if !bytes.is_empty() {
            ANY.store(true, Ordering::Release);
            lock(&self.losses).push(Loss { bytes, reason: reason.clone() });
        }
    }

    /// These bytes have contents again.
    fn written(&self, bytes: &Range<u64>) {
        let mut losses = lock(&self.losses);
        if losses.is_empty() {
            return;
        }
        let left = losses.drain(..).flat_map(|loss| {
            let Range { start, end } = loss.bytes;
            let parts = [start..end.min(bytes.start).max(start), start.max(bytes.end).min(end)..end];
            let cut = meet(&(start..end), bytes);
            let parts = if cut { parts } else { [start..end, end..end] };
            parts.map(|bytes| Loss { bytes, reason: loss.reason.clone() })
        });
        *losses = left.filter(|loss| !loss.bytes.is_empty()).collect();
    }

    /// Who recorded work on the buffer before this one did.
    pub(super) fn recorded(&self, by: &Arc<AnyRecording>) -> Option<Arc<AnyRecording>> {
        let mut last = lock(&self.recorded_by);
        let before = last.as_ref().and_then(Weak::upgrade);
        *last = Some(Arc::downgrade(by));
        before.filter(|before| !std::ptr::addr_eq(Arc::as_ptr(before), Arc::as_ptr(by)))
    }
}

/// What a recorded command does to a buffer.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) track: Arc<Track>,
    pub(super) bytes: Range<u64>,
    pub(super) access: Access,
    /// All of the bytes are new with this command. Of a dispatch in cuts the first is taken to renew them: it alone lifts
    /// a mark, so that one of any cut stays.
    pub(super) renews: bool,
}

impl Use {
    fn reads(&self) -> bool {
        self.access != Access::Write
    }

    fn writes(&self) -> bool {
        self.access != Access::Read
    }
}

/// Notes that a command was recorded.
pub(super) fn record(uses: &[Use]) {
    for used in uses.iter().filter(|u| u.writes()) {
        used.track.version.fetch_add(1, Ordering::AcqRel);
        if used.renews {
            used.track.written(&used.bytes);
        }
    }
}

/// What became of a command: without a `fault` it computed what it was told, from what it was given.
pub(super) fn settle(uses: &[Use], fault: Option<&Arc<str>>) {
    let given = || uses.iter().filter(|u| u.reads()).find_map(|u| u.track.lost(&u.bytes));
    match fault.cloned().or_else(given) {
        Some(reason) => {
            uses.iter().filter(|u| u.writes()).for_each(|u| u.track.lose(u.bytes.clone(), &reason));
        }
        None => {
            uses.iter().filter(|u| u.renews).for_each(|u| u.track.written(&u.bytes));
        }
    }
}

/// Tracks of apps' buffers, which several contexts on one device may have adopted: of the process, or, where a device stays on
/// its thread, of the thread.
type Shared = Vec<(wgpu::Buffer, Weak<Track>)>;

#[cfg(not(target_arch = "wasm32"))]
fn with_shared<R>(then: impl FnOnce(&mut Shared) -> R) -> R {
    static SHARED: Mutex<Shared> = Mutex::new(Vec::new());
    then(&mut lock(&SHARED))
}

#[cfg(target_arch = "wasm32")]
fn with_shared<R>(then: impl FnOnce(&mut Shared) -> R) -> R {
    thread_local!(static SHARED: Mutex<Shared> = const { Mutex::new(Vec::new()) });
    SHARED.with(|shared| then(&mut lock(shared)))
}

/// The track of an app's buffer, the same one for every context that adopts it.
pub(super) fn of_app_buffer(raw: &wgpu::Buffer) -> Arc<Track> {
    with_shared(|shared| {
        // Entries keep the app's buffers, so they go with the last tensor on them.
        shared.retain(|(_, track)| track.strong_count() > 0);
        if let Some(track) = shared.iter().find(|(known, _)| known == raw).and_then(|(_, t)| t.upgrade()) {
            return track;
        }
        let track = Arc::new(Track::default());
        shared.push((raw.clone(), Arc::downgrade(&track)));
        track
    })
}

/// Lets go of app buffers that no tensor uses any more.
pub(super) fn forget_unused() {
    with_shared(|shared| shared.retain(|(_, track)| track.strong_count() > 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(track: &Arc<Track>, bytes: Range<u64>, access: Access) -> Use {
        Use { track: track.clone(), bytes, access, renews: access == Access::Write }
    }

    #[test]
    fn a_loss_ends_where_it_is_written_again() {
        let track = Arc::new(Track::default());
        let fault: Arc<str> = "no room".into();
        settle(&[used(&track, 16..64, Access::Write)], Some(&fault));
        assert!(track.lost(&(0..16)).is_none() && track.lost(&(64..80)).is_none());
        settle(&[used(&track, 24..32, Access::Write)], None);
        assert!(track.lost(&(24..32)).is_none());
        assert!(track.lost(&(16..24)).is_some() && track.lost(&(32..36)).is_some());
        settle(&[used(&track, 0..100, Access::ReadWrite)], None);
        assert!(track.lost(&(16..20)).is_some(), "an update of what was lost is lost too");
        settle(&[used(&track, 0..100, Access::Write)], None);
        assert!(track.lost(&(0..100)).is_none());
    }

    #[test]
    fn a_cut_that_follows_a_lost_one_lifts_no_mark() {
        let track = Arc::new(Track::default());
        settle(&[used(&track, 0..8, Access::Write)], Some(&"no room".into()));
        settle(&[Use { renews: false, ..used(&track, 0..8, Access::Write) }], None);
        assert!(track.lost(&(0..8)).is_some());
    }

    #[test]
    fn what_is_computed_from_a_loss_is_lost() {
        let [from, to] = [(); 2].map(|()| Arc::new(Track::default()));
        settle(&[used(&from, 0..8, Access::Write)], Some(&"no room".into()));
        settle(&[used(&from, 8..16, Access::Read), used(&to, 0..8, Access::Write)], None);
        assert!(to.require(&(0..8)).is_ok());
        settle(&[used(&from, 4..12, Access::Read), used(&to, 0..8, Access::Write)], None);
        assert!(matches!(to.require(&(0..8)), Err(Error::Lost(reason)) if reason.contains("no room")));
    }

    #[test]
    fn versions_count_writes() {
        let track = Arc::new(Track::default());
        record(&[used(&track, 0..8, Access::Read)]);
        assert_eq!(track.version(), 0);
        record(&[used(&track, 0..4, Access::Write)]);
        record(&[used(&track, 0..4, Access::ReadWrite)]);
        assert_eq!(track.version(), 2);
    }
}
