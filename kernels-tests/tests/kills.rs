//! Runs that are killed, doubled and without room on the disk: no line of scores is lost, repeated or mixed, and no file is half
//! of a new one. This program starts itself as the runs.
//!
//! `FOVEAL_KILL_ROUNDS=100 cargo test --profile checks -p kernels-tests --test kills` kills more often.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::block_on;
use foveal::pipelines::sentiment::ScoreRequest;
use foveal::pipelines::sentiment::data::Dataset;
use foveal::pipelines::sentiment::log::{Origin, ScoreLog};
use foveal::weights::write_whole;
use kernels_tests::golden::new_context;
use kernels_tests::{scratch, tiny_clips, tiny_dashfusion, tiny_sentiment_model};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What a started program does, and where it writes.
const PART: &str = "FOVEAL_KILL_PART";
const FILE: &str = "FOVEAL_KILL_FILE";

type Part = (&'static str, fn(&Path));

const PARTS: [Part; 3] =
    [("writes_lines", writes_lines), ("scores_clips", scores_clips), ("writes_a_file", writes_a_file)];

fn main() -> ExitCode {
    if let Ok(part) = std::env::var(PART) {
        let (_, run) = PARTS.iter().find(|(name, _)| *name == part).unwrap();
        run(&PathBuf::from(std::env::var_os(FILE).unwrap()));
        return ExitCode::SUCCESS;
    }
    let trial = |name: &'static str, run: fn()| {
        Trial::test(name, move || -> Result<(), Failed> {
            run();
            Ok(())
        })
    };
    let trials = vec![
        trial("lines_survive_kills_and_two_writers", lines_survive_kills_and_two_writers),
        trial("scoring_survives_kills_and_two_runs", scoring_survives_kills_and_two_runs),
        #[cfg(unix)]
        trial("a_full_disk_leaves_whole_lines_and_old_files", a_full_disk_leaves_whole_lines_and_old_files),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

const CLIPS: usize = 60;
/// Beyond what a child says by failing.
const BUSY: i32 = 75;

fn id(number: usize) -> String {
    format!("clip,\"{number}\"\nof \u{e9}{number}")
}

/// Ends the process with `BUSY` where another has the file.
fn log_of(path: &Path) -> ScoreLog {
    match ScoreLog::open(path) {
        Ok(log) => log,
        Err(error) if error.to_string().contains("another run is writing its scores") => {
            std::process::exit(BUSY)
        }
        Err(error) => panic!("{error}"),
    }
}

fn writes_lines(path: &Path) {
    let mut log = log_of(path);
    log.go_on(Origin { model: "0123456789abcdef".into(), data: "fedcba9876543210".into() }).unwrap();
    let score = serde_json::json!({"id": "", "score": 0.5, "missing": ["vision"]});
    let score: foveal::pipelines::sentiment::Score = serde_json::from_value(score).unwrap();
    for number in (0..CLIPS).rev() {
        let mut score = score.clone();
        score.id = id(number);
        log.add(&[score]).unwrap();
    }
}

fn scores_clips(path: &Path) {
    let mut log = log_of(path);
    let model = tiny_sentiment_model(&new_context().unwrap(), tiny_dashfusion()).unwrap();
    let data = Dataset::open(tiny_clips()).unwrap();
    let request = ScoreRequest { batch: 1, ..ScoreRequest::default() };
    block_on(log.fill(&model, &data, &request, |_| ControlFlow::Continue(()))).unwrap();
}

fn writes_a_file(path: &Path) {
    if let Err(error) = write_whole(path, &[b'n'; 100_000]) {
        panic!("{error}");
    }
}

/// A process whose files end at 4,096 bytes, as they would on a disk with no more room.
#[cfg(unix)]
fn without_room(part: &str, path: &Path) -> String {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap());
    command.env(PART, part).env(FILE, path);
    let ended = command.output().unwrap();
    assert!(!ended.status.success(), "{part} had room");
    String::from_utf8(ended.stderr).unwrap()
}

#[cfg(unix)]
fn a_full_disk_leaves_whole_lines_and_old_files() {
    let folder = scratch("kills_full");
    let path = folder.join("scores.jsonl");
    let said = without_room("writes_lines", &path);
    let found = lines(&path);
    assert!(said.contains(&format!("{} clips have their lines", found.len())), "{said}");
    assert!(!found.is_empty() && found.len() < CLIPS, "{} lines", found.len());
    assert!(std::fs::read(&path).unwrap().ends_with(b"\n"));
    assert!(after(start("writes_lines", &path), Duration::from_secs(300)));
    assert_eq!(lines(&path).values().sum::<usize>(), CLIPS);

    let path = folder.join("file");
    assert!(without_room("writes_a_file", &path).contains("no file was made"));
    assert!(!path.exists());
    std::fs::write(&path, "old").unwrap();
    assert!(without_room("writes_a_file", &path).contains("the file that stood there is unchanged"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "something stays beside the files");
}

fn start(part: &str, path: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PART, part).env(FILE, path);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Kills a process after a while, unless it ends by itself; whether it did all there was to do.
fn after(mut child: Child, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
            assert!(status.success() || status.code() == Some(BUSY), "{status}: {said}");
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

/// Lines by id, the last one only where it is whole.
fn lines(path: &Path) -> BTreeMap<String, usize> {
    let text = std::fs::read(path).unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in text.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n")) {
        let line: serde_json::Value = serde_json::from_slice(line).unwrap();
        *found.entry(line["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    found
}

fn rounds(few: usize) -> usize {
    std::env::var("FOVEAL_KILL_ROUNDS").map_or(few, |n| n.parse().unwrap())
}

/// Files from none to full, by `at_once` processes that are killed ever later: whether lines were found between kills.
fn killed(part: &str, name: &str, rounds: usize, at_once: usize, unit: Duration, all: usize) {
    let path = scratch(&format!("kills_{name}")).join("scores.jsonl");
    let (mut full, mut within, mut kills) = (0, 0, 0u32);
    let mut before = BTreeMap::new();
    for round in 0..rounds {
        let children: Vec<Child> = (0..at_once).map(|_| start(part, &path)).collect();
        // The last round of a suite may take its time, so that a file is full in the end.
        let last = round + 1 == rounds;
        let patience = if last { Duration::from_secs(300) } else { unit * (kills % 12 + 1) };
        kills += 1;
        let ended: Vec<bool> = std::thread::scope(|scope| {
            let all: Vec<_> = children.into_iter().map(|c| scope.spawn(move || after(c, patience))).collect();
            all.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let found = lines(&path);
        assert!(found.values().all(|n| *n == 1), "round {round}: doubled lines: {found:?}");
        assert!(before.keys().all(|id| found.contains_key(id)), "round {round}: lines were lost");
        within += usize::from(found.len() > before.len() && found.len() < all);
        before = found;
        if ended.contains(&true) {
            assert_eq!(before.len(), all, "round {round}: a run ended without all lines");
            full += 1;
            std::fs::remove_file(&path).unwrap();
            before.clear();
        }
    }
    assert!(full > 0, "no file was ever full");
    eprintln!("{name}: {rounds} rounds, {full} files filled, {within} kills between two lines of one");
}

fn lines_survive_kills_and_two_writers() {
    let unit = Duration::from_millis(50);
    killed("writes_lines", "lines", rounds(16), 1, unit / 5, CLIPS);
    killed("writes_lines", "two", rounds(16), 2, unit / 5, CLIPS);
}

fn scoring_survives_kills_and_two_runs() {
    let clips = Dataset::open(tiny_clips()).unwrap().splits.values().map(Vec::len).sum();
    killed("scores_clips", "scoring", rounds(3), 1, Duration::from_millis(400), clips);
    killed("scores_clips", "scoring_two", rounds(3), 2, Duration::from_millis(400), clips);
}
