//! A progress bar on stderr, or plain lines where stderr is not a terminal.
//!
//! The unit is one forward pass. A denoising step takes two, or one without a negative prompt; reading the attention
//! takes one; an update takes one and a gradient, which counts as three.

use foveal::pipelines::text_to_video::ClipRequest;
use foveal::pipelines::text_to_video::temporal_control::{Event, Guidance};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

const READ: u64 = 1;
const UPDATE: u64 = 4;

/// Progress over any number of clips.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
    name: String,
    /// What the clips before this one were planned to take.
    before: u64,
    plan: Plan,
    last_line: Instant,
}

#[derive(Debug, Default)]
struct Plan {
    steps: usize,
    step: u64,
    guidance: Option<Guidance>,
}

impl Plan {
    fn of(request: &ClipRequest) -> Self {
        let step = if request.guidance_scale == 1.0 { 1 } else { 2 };
        Self { steps: request.steps, step, guidance: request.guidance.clone() }
    }

    /// Most updates after a step.
    fn updates(&self) -> u64 {
        self.guidance.as_ref().map_or(0, |g| g.updates as u64)
    }

    fn cost(&self, step: usize) -> u64 {
        let more = match &self.guidance {
            Some(g) if g.guides(step, self.steps) => READ.max(UPDATE * self.updates()),
            Some(g) if g.unused_work => READ,
            _ => 0,
        };
        self.step + more
    }

    fn until(&self, step: usize) -> u64 {
        (0..step).map(|s| self.cost(s)).sum()
    }
}

impl Progress {
    /// A bar over clips that will be made in this order.
    pub(crate) fn new<'a>(requests: impl IntoIterator<Item = &'a ClipRequest>) -> Self {
        let total = requests.into_iter().map(|r| Plan::of(r).until(r.steps)).sum();
        let bar = ProgressBar::new(total);
        let template = "{msg:44!} {wide_bar} {percent:>3} %  {elapsed_precise}, {eta_precise} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        let now = Instant::now();
        Self { bar, started: now, name: String::new(), before: 0, plan: Plan::default(), last_line: now }
    }

    /// The next clip begins.
    pub(crate) fn begin(&mut self, name: &str, request: &ClipRequest) {
        self.before += self.plan.until(self.plan.steps);
        self.plan = Plan::of(request);
        name.clone_into(&mut self.name);
        self.bar.set_position(self.before);
    }

    /// Something happened in the clip.
    pub(crate) fn on(&mut self, event: &Event) {
        let at = |step: usize| self.before + self.plan.until(step);
        let plan = &self.plan;
        let (step, position, doing) = match event {
            Event::Stepped { step, .. } => (step, at(*step) + plan.step, String::new()),
            Event::Read { step, .. } => (step, at(*step) + plan.step + READ, String::new()),
            Event::Updated { step, update, .. } => {
                let done = *update as u64 + 1;
                (step, at(*step) + plan.step + UPDATE * done, format!(", update {done}/{}", plan.updates()))
            }
            Event::Done { step, .. } => (step, at(step + 1), String::new()),
            _ => return,
        };
        let message = format!("{}: step {}/{}{doing}", self.name, step + 1, plan.steps);
        self.bar.set_position(position);
        if self.bar.is_hidden() && self.last_line.elapsed() > Duration::from_secs(20) {
            let spent = self.started.elapsed();
            let left = spent.mul_f64(
                self.bar.length().unwrap_or(0).saturating_sub(position) as f64 / position.max(1) as f64,
            );
            eprintln!("{message}  {} s, about {} s left", spent.as_secs(), left.as_secs());
            self.last_line = Instant::now();
        }
        self.bar.set_message(message);
    }

    /// Prints a line without disturbing the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Everything is done.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
