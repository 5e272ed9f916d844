//! Workers at the other end of a pipe: dealt jobs, watched, and replaced where they end or do not.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How a mutant ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A case showed it.
    Found,
    /// A run of it took longer than the limit.
    Endless,
    /// It took its process down.
    Crashed,
    /// No case showed it.
    Survived,
    /// It does not compile.
    Invalid,
    /// It is the same program, in every run.
    Same,
}

impl End {
    const ALL: [(Self, &str); 6] = [
        (Self::Found, "found"),
        (Self::Endless, "does not end"),
        (Self::Crashed, "ends the process"),
        (Self::Survived, "survived"),
        (Self::Invalid, "invalid"),
        (Self::Same, "same"),
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(end, _)| *end == self).map_or("", |(_, name)| name)
    }

    /// From words.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| *own == name).map(|(end, _)| *end)
    }

    /// Whether a suite of tests would have noticed.
    pub fn is_found(self) -> bool {
        matches!(self, Self::Found | Self::Endless | Self::Crashed)
    }
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// The run that showed it.
    pub run: Option<usize>,
    /// What it showed, or why the mutant does not compile.
    pub fault: String,
    /// Seconds altogether.
    pub seconds: f64,
    /// Runs that passed, each with its seconds.
    pub passed: Vec<(usize, f64)>,
}

/// A job: what a worker is told, and how long a run of it may take.
#[derive(Debug, Clone)]
pub struct Job {
    /// Number, for whoever gave it.
    pub id: usize,
    /// What the worker reads.
    pub message: Value,
    /// The longest that nothing may be heard of it.
    pub limit: Duration,
}

/// A device and its driver may take this long to open.
const OPENING: Duration = Duration::from_secs(120);

/// Deals jobs to so many workers until there are none left.
///
/// # Errors
/// A worker that cannot be started, or that fails before its job begins.
pub fn deal(
    program: &Path,
    workers: usize,
    next: impl Fn() -> Option<Job> + Sync,
    done: impl Fn(usize, Ended) -> Result<(), String> + Sync,
) -> Result<(), String> {
    // What one cannot do the others need not try.
    let failed = AtomicBool::new(false);
    let work = || {
        let mut worker = None;
        while let Some(job) = next().filter(|_| !failed.load(Ordering::Relaxed)) {
            let own = match &mut worker {
                Some(own) => own,
                none => none.insert(Worker::start(program)?),
            };
            let ended = own.run(&job)?;
            if matches!(ended.end, End::Endless | End::Crashed) {
                worker = None;
            }
            done(job.id, ended)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let watched = || work().inspect_err(|_| failed.store(true, Ordering::Relaxed));
        let threads: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(watched)).collect();
        let ends = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())));
        ends.collect::<Vec<_>>().into_iter().collect()
    })
}

/// The program that workers are: this one, where it is not told otherwise.
pub fn own_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))
}

struct Worker {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Worker {
    fn start(program: &Path) -> Result<Self, String> {
        let mut child = Command::new(program)
            .arg("--worker")
            // Each text is compiled once: to keep the results on disk would push out what is of use there.
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{} cannot be started: {e}", program.display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a worker has no pipes".into());
        };
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, lines })
    }

    fn run(&mut self, job: &Job) -> Result<Ended, String> {
        let started = Instant::now();
        let mut ended =
            Ended { end: End::Crashed, run: None, fault: String::new(), seconds: 0.0, passed: Vec::new() };
        // Of one that has ended, the lines say so.
        let _ = writeln!(self.input, "{}", job.message).and_then(|()| self.input.flush());
        loop {
            let limit = if ended.run.is_some() { job.limit } else { job.limit.max(OPENING) };
            let line = match self.lines.recv_timeout(limit) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) if ended.run.is_some() => {
                    ended.end = End::Endless;
                    ended.fault = format!("nothing was heard of it for {} seconds", limit.as_secs());
                    break;
                }
                Err(RecvTimeoutError::Disconnected) if ended.run.is_some() => {
                    ended.fault =
                        self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
                    break;
                }
                Err(error) => return Err(format!("a worker did not begin its job: {error}")),
            };
            let message: Value =
                serde_json::from_str(&line).map_err(|e| format!("a worker said `{line}`: {e}"))?;
            if let Some(reason) = message["error"].as_str() {
                return Err(reason.to_owned());
            }
            let number = |name: &str| message[name].as_u64().map(|n| n as usize);
            if let Some(end) = message["end"].as_str().and_then(End::named) {
                ended.end = end;
                ended.run = number("run");
                ended.fault = message["fault"].as_str().unwrap_or_default().to_owned();
                break;
            }
            if let (Some(run), Some(seconds)) = (number("passed"), message["seconds"].as_f64()) {
                ended.passed.push((run, seconds));
            } else if let Some(run) = number("run") {
                ended.run = Some(run);
            }
        }
        ended.seconds = started.elapsed().as_secs_f64();
        Ok(ended)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It keeps nothing, and its driver may hang where it would clean up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
