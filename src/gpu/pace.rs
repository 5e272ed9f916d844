//! How much work goes into one submission and one dispatch.
//!
//! A submission that runs for seconds trips a desktop's watchdog and freezes its screen; one that is cut too small leaves a
//! GPU idle. What a device can do is assumed at first, low, by its class, and learnt from submissions that have finished.

use super::caps::{AdapterClass, Caps};
use super::device::Device;
use super::lock::lock;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A submission is closed, and long work is cut, after this much estimated work.
pub(super) const SUBMISSION_SECONDS: f64 = 0.25;
/// Estimated work that may be in one dispatch where less would starve a GPU: the watchdogs of Windows and Linux desktops
/// bite after two seconds and more, that of macOS later.
fn longest(class: AdapterClass) -> f64 {
    if class == AdapterClass::Apple { 3.0 } else { 1.5 }
}

/// Workgroups of a cut, where there are as many: a large GPU runs several hundred at a time, and the last of each cut
/// leave it partly idle.
const FILLED: u64 = 1024;
/// Of a rate that was observed, what is counted on.
const TRUSTED: f64 = 0.5;
/// Shorter submissions say more about the host than about the device.
const LEAST_OBSERVED: Duration = Duration::from_millis(2);

/// Cuts of a dispatch of `workgroups` that takes `seconds`: short enough for a watchdog, and for a GPU filled before they
/// are short.
fn cuts(class: AdapterClass, workgroups: u64, seconds: f64) -> u64 {
    let at_most = |limit: f64| (seconds / limit).ceil().clamp(1.0, 1e9) as u64;
    let short = at_most(SUBMISSION_SECONDS);
    if class == AdapterClass::Software {
        return short;
    }
    short.min((workgroups / FILLED).max(1)).max(at_most(longest(class)))
}

/// Seconds of a number of operations and bytes at assumed rates.
fn assumed(rates: (f64, f64), [flops, bytes]: [f64; 2]) -> f64 {
    (flops / rates.0).max(bytes / rates.1)
}

/// One submission on its way, with the assumed seconds of each kernel in it.
#[derive(Debug)]
struct Running {
    number: u64,
    /// It did not begin before.
    since: Duration,
    seconds: HashMap<&'static str, f64>,
}

/// What was learnt of a device.
#[derive(Debug, Default)]
struct Pace {
    running: VecDeque<Running>,
    submitted: u64,
    /// How many times faster than assumed a kernel has run.
    speeds: HashMap<&'static str, f64>,
}

impl Pace {
    /// Seconds that a kernel will need for work that `assumed` says.
    fn expected(&self, kernel: &str, assumed: f64) -> f64 {
        assumed / self.speeds.get(kernel).copied().unwrap_or(1.0)
    }

    /// A submission is handed over, with the seconds that are assumed of its kernels. Returns its number.
    fn submit(&mut self, now: Duration, seconds: HashMap<&'static str, f64>) -> u64 {
        self.submitted += 1;
        self.running.push_back(Running { number: self.submitted, since: now, seconds });
        self.submitted
    }

    /// The device was asked: submissions up to this number are finished.
    ///
    /// When they really began and ended is not known, only that it was not before one ahead of them was last seen at work and
    /// not after now: what is learnt is never more than what the device can do.
    fn observe(&mut self, now: Duration, finished: u64) {
        let mut seconds: HashMap<&'static str, f64> = HashMap::new();
        let mut since = None;
        while self.running.front().is_some_and(|r| r.number <= finished) {
            let Some(done) = self.running.pop_front() else { break };
            since.get_or_insert(done.since);
            for (kernel, s) in done.seconds {
                *seconds.entry(kernel).or_default() += s;
            }
        }
        // What waits behind one that is still at work has not begun.
        self.running.iter_mut().skip(1).for_each(|waiting| waiting.since = now);
        let Some(elapsed) = since.map(|since| now.saturating_sub(since)).filter(|e| *e >= LEAST_OBSERVED)
        else {
            return;
        };
        let all: f64 = seconds.values().sum();
        // A mixture says nothing about one of its kernels.
        let Some((kernel, own)) = seconds.into_iter().find(|(_, own)| *own >= 0.8 * all) else { return };
        let speed = self.speeds.entry(kernel).or_insert(1.0);
        *speed = speed.max(TRUSTED * own / elapsed.as_secs_f64());
    }
}

/// Seconds of work: what the class of the device lets expect, and what was learnt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) assumed: f64,
    pub(super) expected: f64,
}

/// The pace of one device, kept while submissions come and go.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Mutex<Pace>,
    /// Number of the last submission that is known to be finished.
    finished: Arc<AtomicU64>,
    /// Operations and bytes a second that are assumed of the device.
    rates: (f64, f64),
    /// Rates were asked for, and nothing is learnt.
    fixed: bool,
    class: AdapterClass,
    /// Where time is counted from; browsers have no clock that the standard library reads.
    #[cfg(not(target_arch = "wasm32"))]
    since: std::time::Instant,
}

impl Pacer {
    /// Of a device of these capabilities; see [`super::ContextOptions::assumed_rates`].
    pub(super) fn new(caps: &Caps, rates: Option<(f64, f64)>) -> Self {
        Self {
            pace: Mutex::default(),
            finished: Arc::default(),
            rates: rates.unwrap_or_else(|| caps.assumed_rates()),
            fixed: rates.is_some(),
            class: caps.class,
            #[cfg(not(target_arch = "wasm32"))]
            since: std::time::Instant::now(),
        }
    }

    /// Time since this was made. None where nothing is learnt.
    fn now(&self) -> Option<Duration> {
        #[cfg(not(target_arch = "wasm32"))]
        let now = Some(self.since.elapsed());
        #[cfg(target_arch = "wasm32")]
        let now = None;
        now.filter(|_| !self.fixed)
    }

    /// Seconds of a kernel's work.
    pub(super) fn estimate(&self, kernel: &str, work: [f64; 2]) -> Estimate {
        let assumed = assumed(self.rates, work);
        Estimate { assumed, expected: lock(&self.pace).expected(kernel, assumed) }
    }

    /// Into how many dispatches a kernel's work is cut.
    pub(super) fn cuts(&self, kernel: &str, workgroups: u64, work: [f64; 2]) -> u64 {
        cuts(self.class, workgroups, self.estimate(kernel, work).expected)
    }

    /// Polls the device, which then tells what it has finished.
    pub(super) fn poll(&self, device: &Device) {
        device.poll();
        if let Some(now) = self.now() {
            lock(&self.pace).observe(now, self.finished.load(Ordering::Acquire));
        }
    }

    /// Work of these assumed seconds was handed over: learns when it is done.
    pub(super) fn submitted(&self, queue: &wgpu::Queue, seconds: HashMap<&'static str, f64>) {
        if let Some(now) = self.now() {
            let number = lock(&self.pace).submit(now, seconds);
            let finished = self.finished.clone();
            queue.on_submitted_work_done(move || {
                finished.fetch_max(number, Ordering::AcqRel);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kernel: &'static str, seconds: f64) -> HashMap<&'static str, f64> {
        HashMap::from([(kernel, seconds)])
    }

    #[test]
    fn a_gpu_is_filled_before_it_is_cut_and_no_cut_is_long() {
        for class in [AdapterClass::Integrated, AdapterClass::Discrete, AdapterClass::Apple] {
            assert_eq!(cuts(class, 6144, 0.2), 1);
            assert_eq!(cuts(class, 6144, 3.0), 6);
            assert_eq!(cuts(class, 100, 1.0), 1);
            let most = longest(class);
            assert_eq!(cuts(class, 6144, 20.0 * most), 20, "{class}");
        }
        assert_eq!(cuts(AdapterClass::Software, 6144, 3.0), 12);
    }

    #[test]
    fn a_fast_device_is_learnt_and_a_late_look_is_no_slow_device() {
        let ms = Duration::from_millis;
        let mut pace = Pace::default();
        pace.submit(ms(0), one("matmul", 1.0));
        pace.submit(ms(0), one("matmul", 1.0));
        pace.observe(ms(100), 1);
        // Ten times as fast as assumed, half of which is counted on.
        assert_eq!(pace.expected("matmul", 1.0), 0.2);
        pace.observe(ms(200), 2);
        assert_eq!(pace.expected("matmul", 1.0), 0.2);
        assert_eq!(pace.expected("gelu", 1.0), 1.0, "another kernel is another matter");
        pace.submit(ms(300), one("matmul", 1.0));
        pace.observe(ms(100_000), 3);
        assert_eq!(pace.expected("matmul", 1.0), 0.2);
    }

    #[test]
    fn work_that_began_before_the_last_look_is_not_thought_fast() {
        let ms = Duration::from_millis;
        let mut pace = Pace::default();
        pace.submit(ms(0), one("gelu", 1.0));
        pace.submit(ms(0), one("matmul", 1.0));
        // The second may have begun right after the look at 0.4 s, though the first was seen done at 0.9 s.
        pace.observe(ms(400), 0);
        pace.observe(ms(900), 1);
        pace.observe(ms(1000), 2);
        assert_eq!(pace.expected("matmul", 1.0), 1.0);
    }
}
