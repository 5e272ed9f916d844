//! A program that fails ends with its own exit code, wherever it fails: no thread of a context is left that could crash while
//! the process takes the driver down.
//!
//! This program starts itself, many times at once and with other work beside it, and fails there. `FOVEAL_STARTS` is the number
//! of starts of each kind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]

use foveal::kernels::elementwise::{gelu, silu};
use foveal::kernels::rowwise::softmax;
use foveal::pipelines::text_to_video::TextToVideo;
use foveal::pipelines::text_to_video::TimedWord;
use foveal::pipelines::text_to_video::curve::{TimeAxis, TimingCurve};
use foveal::pipelines::text_to_video::temporal_control::Guidance;
use foveal::{Context, ContextOptions, Dtype, Error, Result, SelfTest, Tensor, block_on};
use libtest_mimic::{Arguments, Failed, Trial};
use std::future::Future;
use std::ops::ControlFlow;
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

/// Names the place at which the started program fails.
const PLACE: &str = "FOVEAL_FAILS_AT";
/// More starts than a test of everyday makes.
const STARTS: &str = "FOVEAL_STARTS";

/// A place to fail, what the program says then, and how often it is started where nobody asks for more.
type Failure = (&'static str, fn() -> Error, &'static str, usize);

const PLACES: [Failure; 7] = [
    ("before the device", before_the_device, "timing curve", 2),
    ("a bare device", bare_device, "a bare device", 6),
    ("after the self-test", after_the_self_test, "no/such/folder", 4),
    ("while kernels are compiled", while_compiling, "cancelled at kernel 1", 4),
    ("with work under way", with_work_under_way, "with work under way", 4),
    ("a wait that nobody waits for", unwaited, "a wait that nobody waits for", 4),
    ("in a guided run", in_a_guided_run, "cancelled at denoising step 0", 1),
];

fn main() -> ExitCode {
    if let Ok(place) = std::env::var(PLACE) {
        // As a program does: what failed has returned, and main says so.
        let error = PLACES.iter().find(|(name, ..)| *name == place).map(|(_, fails, ..)| fails());
        eprintln!("error: {}; {} threads are left", error.unwrap(), threads_left());
        return ExitCode::FAILURE;
    }
    let trial = |(name, _, says, few): Failure| Trial::test(name, move || starts(name, says, few));
    libtest_mimic::run(&Arguments::from_args(), PLACES.map(trial).into()).exit_code()
}

fn starts(name: &str, says: &str, few: usize) -> Result<(), Failed> {
    let count = std::env::var(STARTS).ok().map_or(Ok(few), |text| text.parse())?;
    let program = std::env::current_exe()?;
    let next = AtomicUsize::new(0);
    let faults = std::thread::scope(|scope| {
        let start = || -> std::io::Result<Vec<String>> {
            let mut faults = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < count {
                let Output { status, stderr, .. } = Command::new(&program).env(PLACE, name).output()?;
                let stderr = String::from_utf8_lossy(&stderr);
                let alone = stderr.contains("; 0 threads are left");
                if status.code() != Some(1) || !stderr.contains(says) || !alone {
                    faults.push(format!("{status}: {stderr}"));
                }
            }
            Ok(faults)
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<std::io::Result<Vec<_>>>()
    })?;
    let faults = faults.concat();
    println!("{name}: {count} starts, {} ended otherwise", faults.len());
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

/// Threads that contexts have started and that have not ended, where the system tells.
fn threads_left() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
    names.filter(|name| name.starts_with("foveal ")).count()
}

fn open(self_test: SelfTest) -> Context {
    block_on(Context::new(ContextOptions::default().self_test(self_test))).unwrap()
}

fn before_the_device() -> Error {
    TimingCurve::parse("9..3", &TimeAxis::new(8, 1, 4.0).unwrap()).unwrap_err()
}

fn bare_device() -> Error {
    let _context = open(SelfTest::Skip);
    Error::input("device", "a bare device")
}

fn after_the_self_test() -> Error {
    TextToVideo::open(&open(SelfTest::Driver), "no/such/folder").unwrap_err()
}

fn while_compiling() -> Error {
    let context = open(SelfTest::Skip);
    let plan = Context::plan(context.caps().clone(), ContextOptions::default());
    let x = Tensor::empty(&plan, [64, 64], Dtype::F32).unwrap();
    gelu(&x).unwrap();
    silu(&x).unwrap();
    softmax(&x, 1.0).unwrap();
    block_on(context.prepare(&plan, |_| ControlFlow::Break(()))).unwrap_err()
}

/// Some dispatches.
fn work(context: &Context) -> Result<Tensor> {
    let mut x = Tensor::zeros(context, [512, 512], Dtype::F32)?;
    for _ in 0..8 {
        x = silu(&x)?;
    }
    context.submit()?;
    Ok(x)
}

fn with_work_under_way() -> Error {
    let context = open(SelfTest::Skip);
    let _result = work(&context).unwrap();
    Error::input("device", "with work under way")
}

fn unwaited() -> Error {
    let context = open(SelfTest::Skip);
    let _result = work(&context).unwrap();
    let mut waiting = Box::pin(context.finish());
    // Asked once, then dropped, with its thread wherever it is by then.
    let _ = waiting.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
    drop(waiting);
    Error::input("device", "a wait that nobody waits for")
}

fn in_a_guided_run() -> Error {
    let folder = kernels_tests::root().join("models/tiny-wan");
    let pipeline = TextToVideo::open(&open(SelfTest::Skip), folder).unwrap();
    let mut request = pipeline.request("a red square and a blue cross");
    request.steps = 2;
    request.size = [2, 4, 4];
    request.words.push(TimedWord::new("red square", TimingCurve::new(vec![0.0, 1.0]).unwrap()));
    request.guidance = Some(Guidance { steps: (0..1).collect(), updates: 1, ..Guidance::default() });
    block_on(pipeline.generate(&request, |_| ControlFlow::Break(()))).unwrap_err()
}
