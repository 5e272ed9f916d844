//! Progress on a terminal, or a line now and then where there is none.

use super::pool::End;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two lines where no bar is shown.
const A_LINE_EACH: Duration = Duration::from_secs(30);

/// How far the mutants of a kernel are.
pub struct Progress {
    bar: ProgressBar,
    state: Mutex<(u64, u64, Instant)>,
    name: String,
}

impl Progress {
    /// Of so many.
    pub fn new(name: &str, len: usize) -> Self {
        let bar = if len == 0 { ProgressBar::hidden() } else { ProgressBar::new(len as u64) };
        let template = "{msg:44!} {wide_bar} {pos}/{len}  {elapsed_precise}, {eta_precise} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        bar.set_length(len as u64);
        Self { bar, state: Mutex::new((0, 0, Instant::now())), name: name.into() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bar.length().unwrap_or(0) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more has ended.
    pub fn step(&self, end: End) {
        let mut state = self.state.lock().unwrap();
        let (found, survived, line) = &mut *state;
        *found += u64::from(end.is_found());
        *survived += u64::from(end == End::Survived);
        let message = if *found > 0 {
            format!("{}: {found} found, {survived} not", self.name)
        } else {
            self.name.clone()
        };
        self.bar.inc(1);
        if self.bar.is_hidden() && line.elapsed() > A_LINE_EACH {
            *line = Instant::now();
            let (done, len) = (self.bar.position(), self.len());
            let left = self.bar.elapsed().as_secs_f64() / done.max(1) as f64
                * (len as u64).saturating_sub(done) as f64;
            eprintln!("{message}: {done} of {len}, {left:.0} s left");
        }
        self.bar.set_message(message);
    }

    /// Nothing is left.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
