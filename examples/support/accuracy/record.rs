//! What an evaluation has measured so far, as a file from which it can go on.

use super::score::Score;
use super::table::summary;
use crate::accuracy::prompts::Task;
use crate::shared::mode::Mode;
use foveal::weights::write_whole;
use foveal::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Settings and clips.
#[derive(Debug)]
pub(crate) struct Record {
    settings: Map<String, Value>,
    modes: Vec<Mode>,
    pub(crate) scores: Vec<Score>,
}

impl Record {
    /// Nothing measured yet. `settings` is everything that a clip depends on beside its prompt and its mode.
    pub(crate) fn new(settings: Map<String, Value>, modes: &[Mode]) -> Self {
        Self { settings, modes: modes.to_vec(), scores: Vec::new() }
    }

    /// Takes the clips of an earlier run, whose prompts stand in `tasks`. A mode may have been added at the end.
    ///
    /// # Errors
    /// [`Error::File`] for another file than [`write`](Self::write) makes, and where settings, modes or prompts
    /// are not the same; each difference is named.
    pub(crate) fn resume(&mut self, path: &Path, tasks: &[Task]) -> Result<()> {
        let refuse = |reason: String| Err(Error::file(path, reason));
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let mut file: Value = serde_json::from_str(&text).map_err(|e| Error::file(path, e.to_string()))?;
        let part = |file: &mut Value, name: &str| match file.get_mut(name).map(Value::take) {
            Some(value) => Ok(value),
            None => Err(Error::file(path, format!("there are no {name}: it is no result of an evaluation"))),
        };
        let (settings, modes) = (part(&mut file, "settings")?, part(&mut file, "modes")?);
        let clips = part(&mut file, "clips")?;
        let mut differences = Vec::new();
        let none = Map::new();
        let settings = settings.as_object().unwrap_or(&none);
        for name in self.settings.keys().chain(settings.keys().filter(|k| !self.settings.contains_key(*k))) {
            let (then, now) = (settings.get(name), self.settings.get(name));
            if then != now {
                let show = |v: Option<&Value>| v.map_or_else(|| "nothing".into(), Value::to_string);
                differences.push(format!("{name} was {}, is {}", show(then), show(now)));
            }
        }
        let modes: Vec<Mode> =
            serde_json::from_value(modes).map_err(|e| Error::file(path, format!("modes: {e}")))?;
        if !self.modes.starts_with(&modes) {
            let names = |modes: &[Mode]| modes.iter().map(|m| m.name()).collect::<Vec<_>>().join(",");
            differences.push(format!("modes were {}, are {}", names(&modes), names(&self.modes)));
        }
        if !differences.is_empty() {
            return refuse(format!("it was measured with other settings: {}", differences.join("; ")));
        }
        let scores: Vec<Score> =
            serde_json::from_value(clips).map_err(|e| Error::file(path, format!("clips: {e}")))?;
        for score in &scores {
            let same = |task: &Task| {
                let curve = task.objects.iter().find(|o| o.phrase == task.target).map(|o| &o.curve);
                (&task.prompt, &task.target, task.seed, curve)
                    == (&score.prompt, &score.target, score.seed, Some(&score.curve))
            };
            // Prompts beyond a limit are kept.
            if tasks.get(score.index).is_some_and(|task| !same(task)) {
                return refuse(format!(
                    "prompt {} was \"{}\" with another curve or seed",
                    score.index, score.prompt
                ));
            }
        }
        self.scores = scores;
        Ok(())
    }

    /// True when the clip has been measured.
    pub(crate) fn has(&self, index: usize, mode: Mode) -> bool {
        self.scores.iter().any(|s| s.index == index && s.mode == mode)
    }

    /// Writes everything. A run that is cut short while it writes leaves the file as it was.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let value = json!({
            "settings": self.settings,
            "modes": self.modes,
            "summary": summary(&self.scores, &self.modes),
            "clips": self.scores,
        });
        write_json(path, &value)
    }
}

/// Writes JSON in one step: whoever reads the file meanwhile, or after a run was cut short, finds it whole.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| Error::file(path, e.to_string()))?;
    write_whole(path, &text)
}

/// The bytes are what an evaluation or a measurement of pass-through has written.
pub(crate) fn is_result(bytes: &[u8]) -> bool {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    value.get("settings").is_some() && ["clips", "pass_through"].iter().any(|part| value.get(part).is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::accuracy::prompts::{Set, read};
    use crate::shared::repository::in_repository;
    use std::path::PathBuf;

    fn settings(steps: usize) -> Map<String, Value> {
        json!({ "set": "evaluation", "steps": steps }).as_object().cloned().unwrap()
    }

    fn tasks() -> Vec<Task> {
        read(&in_repository("tools/train_tiny_wan/prompts.json"), Set::Evaluation, 8).unwrap()
    }

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("foveal-record-{}-{name}.json", std::process::id()))
    }

    /// A record of two clips on disk, and what resuming it under other circumstances says.
    fn resumed(name: &str, now: &mut Record, tasks: &[Task]) -> Result<()> {
        let path = file(name);
        let mut then = Record::new(settings(20), &[Mode::Uncontrolled, Mode::Default]);
        for (index, mode) in [(0, Mode::Uncontrolled), (1, Mode::Default)] {
            let task = &read(&in_repository("tools/train_tiny_wan/prompts.json"), Set::Evaluation, 8)
                .unwrap()[index];
            then.scores.push(Score::new((mode, index, task), &[], Some(0.1), 1.5, Vec::new()).unwrap());
        }
        then.write(&path).unwrap();
        assert!(is_result(&std::fs::read(&path).unwrap()));
        let result = now.resume(&path, tasks);
        std::fs::remove_file(&path).unwrap();
        if result.is_ok() {
            assert_eq!(now.scores, then.scores);
        }
        result
    }

    #[test]
    fn an_interrupted_run_goes_on() {
        let mut now = Record::new(settings(20), &[Mode::Uncontrolled, Mode::Default]);
        resumed("same", &mut now, &tasks()).unwrap();
        assert!(now.has(0, Mode::Uncontrolled) && now.has(1, Mode::Default));
        assert!(!now.has(0, Mode::Default) && !now.has(2, Mode::Uncontrolled));
        // A mode more, and fewer prompts.
        let mut now = Record::new(settings(20), &[Mode::Uncontrolled, Mode::Default, Mode::Mask]);
        resumed("more", &mut now, &tasks()[..1]).unwrap();
    }

    #[test]
    fn other_settings_are_refused_by_name() {
        let modes = [Mode::Uncontrolled, Mode::Default];
        let text = |name: &str, mut now: Record, tasks: &[Task]| {
            resumed(name, &mut now, tasks).unwrap_err().to_string()
        };
        assert!(text("steps", Record::new(settings(10), &modes), &tasks()).contains("steps was 20, is 10"));
        let mut more = settings(20);
        more.insert("mask".into(), json!(1));
        assert!(text("mask", Record::new(more, &modes), &tasks()).contains("mask was nothing, is 1"));
        let swapped = Record::new(settings(20), &[Mode::Default, Mode::Uncontrolled]);
        assert!(text("modes", swapped, &tasks()).contains("modes were uncontrolled,default"));
        let mut other = tasks();
        other[1].seed += 1;
        assert!(text("seed", Record::new(settings(20), &modes), &other).contains("prompt 1"));
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let mut now = Record::new(settings(20), &[Mode::Default]);
        for (name, text) in [("empty", ""), ("list", "[]"), ("half", "{\"settings\": {}, \"modes\": []")] {
            let path = file(name);
            std::fs::write(&path, text).unwrap();
            assert!(!is_result(text.as_bytes()), "{name}");
            let error = now.resume(&path, &[]).unwrap_err();
            std::fs::remove_file(&path).unwrap();
            assert!(matches!(error, Error::File { .. }), "{error}");
        }
        assert!(matches!(now.resume(&file("missing"), &[]), Err(Error::Io { .. })));
    }
}
