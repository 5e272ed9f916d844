//! A progress bar on stderr, or plain lines where stderr is not a terminal.

use super::estimate::{Estimate, Kind};
use super::interrupt::Interrupt;
use foveal::pipelines::text_to_video::ClipRequest;
use foveal::pipelines::text_to_video::temporal_control::Event;
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Of the bar.
const LENGTH: u64 = 1000;

/// Progress over any number of clips.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
    name: String,
    steps: usize,
    updates: usize,
    estimate: Estimate,
    step_began: Instant,
    last_line: Instant,
    interrupt: Interrupt,
}

/// A time as people say it.
fn spoken(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) if minutes < 10 => format!("{minutes} min {} s", seconds % 60),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

impl Progress {
    /// A bar over clips that will be made in this order.
    pub(crate) fn new<'a>(
        requests: impl IntoIterator<Item = &'a ClipRequest>,
        interrupt: &Interrupt,
    ) -> Self {
        let bar = ProgressBar::new(LENGTH);
        let template = "{msg:44!} {wide_bar} {percent:>3} %  {elapsed_precise}{prefix}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        let now = Instant::now();
        Self {
            bar,
            started: now,
            name: String::new(),
            steps: 0,
            updates: 0,
            estimate: Estimate::new(requests.into_iter().flat_map(Kind::all).collect()),
            step_began: now,
            last_line: now,
            interrupt: interrupt.clone(),
        }
    }

    /// The next clip begins.
    pub(crate) fn begin(&mut self, name: &str, request: &ClipRequest) {
        name.clone_into(&mut self.name);
        self.steps = request.steps;
        self.updates = request.guidance.as_ref().map_or(0, |g| g.updates);
        self.step_began = Instant::now();
    }

    /// Something happened in the clip, which goes on unless the run was asked to stop.
    pub(crate) fn on(&mut self, event: &Event) -> ControlFlow<()> {
        self.observe(event);
        if self.interrupt.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn observe(&mut self, event: &Event) {
        let share =
            |read: bool, updates: usize| self.estimate.at_hand().map_or(0.0, |k| k.share(read, updates));
        let (step, share, doing) = match event {
            Event::Stepped { step, .. } => (step, share(false, 0), String::new()),
            Event::Read { step, .. } => (step, share(true, 0), String::new()),
            Event::Updated { step, update, .. } => {
                let done = update + 1;
                (step, share(true, done), format!(", update {done}/{}", self.updates))
            }
            Event::Done { step, .. } => {
                self.estimate.step(self.step_began.elapsed().as_secs_f64());
                self.step_began = Instant::now();
                (step, 0.0, String::new())
            }
            _ => return,
        };
        let message = format!("{}: step {}/{}{doing}", self.name, step + 1, self.steps);
        let left = self.estimate.left(self.step_began.elapsed().as_secs_f64(), share);
        self.show(message, left);
    }

    fn show(&mut self, message: String, left: Option<f64>) {
        let spent = self.started.elapsed().as_secs_f64();
        let about = left.map_or_else(String::new, |left| format!(", about {} left", spoken(left)));
        if let Some(left) = left {
            // It never goes back, whatever is learned of the steps to come.
            let share = spent / (spent + left).max(f64::MIN_POSITIVE);
            self.bar.set_position(self.bar.position().max((share * LENGTH as f64) as u64));
        }
        if self.bar.is_hidden() && self.last_line.elapsed() > Duration::from_secs(20) {
            eprintln!("{message}  {}{about}", spoken(spent));
            self.last_line = Instant::now();
        }
        self.bar.set_prefix(about);
        self.bar.set_message(message);
    }

    /// Prints a line without disturbing the bar.
    pub(crate) fn say(&self, line: &str) {
        self.suspend(|| println!("{line}"));
    }

    /// Lets others print without disturbing the bar.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Everything is done.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::spoken;

    #[test]
    fn times_are_spoken() {
        let times = [0.4, 59.0, 61.0, 599.0, 600.0, 3599.0, 3600.0, 9000.0].map(spoken);
        let words = ["0 s", "59 s", "1 min 1 s", "9 min 59 s", "10 min", "59 min", "1 h 0 min", "2 h 30 min"];
        assert_eq!(times, words);
    }
}
