//! The one recorder: dispatches and copies in order.

use super::device::Device;
use super::lock::lock;
use super::pace::{self, Estimate};
use super::pipeline::Pipeline;
use super::track::{self, Access, Use};
use crate::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Debug)]
pub(super) enum Command {
    Dispatch {
        pipeline: Arc<Pipeline>,
        bind_group: wgpu::BindGroup,
        params: Vec<u8>,
        workgroups: [u32; 3],
        flops: f64,
        bytes: f64,
    },
    Copy {
        from: wgpu::Buffer,
        from_offset: u64,
        to: wgpu::Buffer,
        to_offset: u64,
        size: u64,
    },
    Zero {
        buffer: wgpu::Buffer,
        offset: u64,
        size: u64,
    },
    /// A few bytes from the host, a multiple of four of them.
    Write {
        to: wgpu::Buffer,
        to_offset: u64,
        bytes: Vec<u8>,
    },
}

/// What is recorded and not handed over yet.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) commands: Vec<Command>,
    /// Of each command, what it reads and writes.
    pub(super) uses: Vec<Vec<Use>>,
    /// Assumed and expected seconds of all.
    pub(super) assumed: HashMap<&'static str, f64>,
    expected: f64,
    /// Bytes of all [`Command::Write`].
    written: usize,
}

#[derive(Debug, Default)]
pub(super) struct State {
    recorded: Recorded,
    dispatches: u64,
    submissions: u64,
    /// Bytes that a submission writes: buffer and its size.
    pub(super) writes: Option<(wgpu::Buffer, u64)>,
    /// Parameters of a submission's kernels: buffer, group and bytes.
    pub(super) params_ring: Option<(wgpu::Buffer, wgpu::BindGroup, u64)>,
}

impl State {
    pub(super) fn take(&mut self) -> Recorded {
        let recorded = std::mem::take(&mut self.recorded);
        self.submissions += u64::from(!recorded.commands.is_empty());
        recorded
    }
}

#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<State>);

/// Commands kept before they are handed over, so that the device starts while the host still records.
const SUBMISSION_COMMANDS: usize = 256;
/// Bytes from the host that a submission carries; what is longer is written by itself, before anything else.
const SUBMISSION_BYTES: usize = 1 << 20;
/// The longest write that is recorded.
pub(super) const RECORDED_WRITE: usize = 1 << 16;

impl Recorder {
    /// Appends a command whose inputs are there, and of a dispatch its kernel and time. True where it is time to submit.
    pub(super) fn record(
        &self,
        device: &Device,
        command: Command,
        uses: Vec<Use>,
        dispatch: Option<(&'static str, Estimate)>,
    ) -> Result<bool> {
        device.alive()?;
        for used in uses.iter().filter(|u| u.access != Access::Write) {
            used.track.require(&used.bytes)?;
        }
        track::record(&uses);
        let mut state = lock(&self.0);
        state.dispatches += u64::from(dispatch.is_some());
        let recorded = &mut state.recorded;
        if let Command::Write { bytes, .. } = &command {
            recorded.written += bytes.len();
        }
        recorded.commands.push(command);
        recorded.uses.push(uses);
        if let Some((kernel, Estimate { assumed, expected })) = dispatch {
            *recorded.assumed.entry(kernel).or_default() += assumed;
            recorded.expected += expected;
        }
        Ok(recorded.expected > pace::SUBMISSION_SECONDS
            || recorded.commands.len() >= SUBMISSION_COMMANDS
            || recorded.written >= SUBMISSION_BYTES)
    }

    /// Something is recorded that has not been handed over.
    pub(super) fn has_work(&self) -> bool {
        !lock(&self.0).recorded.commands.is_empty()
    }

    /// Number of submissions so far.
    pub(super) fn submissions(&self) -> u64 {
        lock(&self.0).submissions
    }

    /// Counts a dispatch of a dry run.
    pub(super) fn rehearse(&self) {
        lock(&self.0).dispatches += 1;
    }

    /// Number of dispatches so far.
    pub(super) fn dispatches(&self) -> u64 {
        lock(&self.0).dispatches
    }

    /// Held while work is handed over: two threads must swap neither the order of their work nor that of its outcomes.
    pub(super) fn hold(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]
mod tests {
    use super::*;
    use crate::gpu::Caps;
    use crate::gpu::track::Track;

    fn zero(device: &Device) -> Command {
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size: 4,
            usage: wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        Command::Zero { buffer: device.raw.create_buffer(&descriptor), offset: 0, size: 4 }
    }

    fn used(track: &Arc<Track>, access: Access) -> Use {
        Use { track: track.clone(), bytes: 0..4, access, renews: access == Access::Write }
    }

    #[test]
    fn it_is_time_to_submit_after_many_commands_or_long_ones() {
        let device = Device::noop(Caps::webgpu_default());
        let recorder = Recorder::default();
        let full = |dispatch| recorder.record(&device, zero(&device), vec![], dispatch).unwrap();
        for _ in 1..SUBMISSION_COMMANDS {
            assert!(!full(None));
        }
        assert!(full(None));
        assert_eq!(recorder.hold().take().commands.len(), SUBMISSION_COMMANDS);
        let seconds = |expected| Some(("matmul", Estimate { assumed: 2.0 * expected, expected }));
        assert!(!full(seconds(0.2)));
        assert!(full(seconds(0.1)));
        let recorded = recorder.hold().take();
        assert!((recorded.assumed["matmul"] - 0.6).abs() < 1e-12);
        assert_eq!((recorder.dispatches(), recorder.hold().take().commands.len()), (2, 0));
    }

    #[test]
    fn what_was_lost_is_not_read() {
        let device = Device::noop(Caps::webgpu_default());
        let recorder = Recorder::default();
        let track = Arc::new(Track::default());
        let record = |access| recorder.record(&device, zero(&device), vec![used(&track, access)], None);
        record(Access::Write).unwrap();
        track::settle(&recorder.hold().take().uses[0], Some(&"refused".into()));
        assert!(matches!(record(Access::Read), Err(crate::Error::Lost(reason)) if reason == "refused"));
        assert!(recorder.hold().take().commands.is_empty());
        record(Access::Write).unwrap();
        record(Access::Read).unwrap();
        device.mark_lost("a test".into());
        assert!(matches!(record(Access::Read), Err(crate::Error::DeviceLost(_))));
    }
}
