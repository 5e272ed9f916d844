//! What a mutant changes: the text of a file, or what the host hands over.

use super::plan::Run;
use foveal::kernels::Launch;
use foveal::shader::Composed;
use serde_json::{Value, json};

/// How a number that the host hands over is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// One more.
    More,
    /// One less; 0 stays.
    Less,
    /// Half.
    Half,
    /// A float, a hundredth larger; 0 becomes a hundredth.
    Percent,
    /// A flag, the other way.
    Flip,
}

impl Step {
    const ALL: [(Self, &str); 5] = [
        (Self::More, "+ 1"),
        (Self::Less, "- 1"),
        (Self::Half, "/ 2"),
        (Self::Percent, "* 1.01"),
        (Self::Flip, "flipped"),
    ];

    /// As it is written after a name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(step, _)| *step == self).map_or("", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| *own == name).map(|(step, _)| *step)
    }

    fn of(self, value: u32) -> u32 {
        match self {
            Self::More => value.saturating_add(1),
            Self::Less => value.saturating_sub(1),
            Self::Half => value / 2,
            Self::Percent => {
                let value = f32::from_bits(value);
                if value == 0.0 { 0.01f32.to_bits() } else { (value * 1.01).to_bits() }
            }
            Self::Flip => value,
        }
    }
}

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Another text in place of a file's.
    File {
        /// Path of the file.
        path: String,
        /// Its text.
        text: String,
    },
    /// A constant of the head.
    Head {
        /// Its name.
        name: String,
        /// How.
        step: Step,
    },
    /// A 32-bit word of the parameters.
    Param {
        /// Its number.
        word: usize,
        /// How.
        step: Step,
    },
    /// The number of workgroups along an axis.
    Workgroups {
        /// The axis.
        axis: usize,
        /// How.
        step: Step,
    },
    /// The first workgroup of a cut is written a parameter later.
    Cut,
}

/// What runs in place of a run's own text and launch, where it is another.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Another text.
    pub text: Option<Composed>,
    /// Other launches.
    pub launches: Option<Vec<Launch>>,
}

impl Change {
    /// What it makes of a run; `None` where that is what was there.
    pub fn applied(&self, run: &Run) -> Option<Applied> {
        match self {
            Self::File { path, text } => changed_text(run, run.composed.with_file(path, text)?),
            Self::Head { name, step } => {
                let (head, text) = run.composed.files().next()?;
                changed_text(run, run.composed.with_file(head, &changed_head(text, name, *step))?)
            }
            Self::Param { word, step } => changed_launch(run, |launch| {
                let bytes = launch.params.get_mut(word * 4..word * 4 + 4)?;
                let value = u32::from_le_bytes((&*bytes).try_into().ok()?);
                bytes.copy_from_slice(&step.of(value).to_le_bytes());
                Some(())
            }),
            Self::Workgroups { axis, step } => changed_launch(run, |launch| {
                let count = launch.workgroups.get_mut(*axis)?;
                *count = step.of(*count);
                Some(())
            }),
            Self::Cut => changed_launch(run, |launch| launch.cut.as_mut().map(|cut| cut.first_at += 4)),
        }
    }

    /// For another process.
    pub fn to_json(&self) -> Value {
        match self {
            Self::File { path, text } => json!({ "file": path, "text": text }),
            Self::Head { name, step } => json!({ "head": name, "step": step.name() }),
            Self::Param { word, step } => json!({ "param": word, "step": step.name() }),
            Self::Workgroups { axis, step } => json!({ "axis": axis, "step": step.name() }),
            Self::Cut => json!({ "cut": true }),
        }
    }

    /// From another process.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let number = |name: &str| value[name].as_u64().map(|n| n as usize);
        let step = || Step::named(value["step"].as_str()?);
        if let Some(path) = text("file") {
            return Some(Self::File { path, text: text("text")? });
        }
        if let Some(name) = text("head") {
            return Some(Self::Head { name, step: step()? });
        }
        if let Some(word) = number("param") {
            return Some(Self::Param { word, step: step()? });
        }
        if let Some(axis) = number("axis") {
            return Some(Self::Workgroups { axis, step: step()? });
        }
        value["cut"].as_bool()?.then_some(Self::Cut)
    }
}

fn changed_text(run: &Run, text: Composed) -> Option<Applied> {
    (text.text() != run.composed.text()).then_some(Applied { text: Some(text), launches: None })
}

fn changed_launch(run: &Run, change: impl Fn(&mut Launch) -> Option<()>) -> Option<Applied> {
    let mut launches = run.launches.clone();
    launches.iter_mut().try_for_each(change)?;
    (launches != run.launches).then_some(Applied { text: None, launches: Some(launches) })
}

/// A head with one of its constants changed.
fn changed_head(head: &str, name: &str, step: Step) -> String {
    let changed = |line: &str| {
        let (before, value) = line.split_once(" = ")?;
        let (kind, value) = (before.strip_prefix("const ")?.split_once(": ")?, value.strip_suffix(';')?);
        let by = match (kind == (name, "bool"), kind == (name, "u32")) {
            (true, _) if step == Step::Flip => (value != "true").to_string(),
            (_, true) => format!("{}u", step.of(value.strip_suffix('u')?.parse().ok()?)),
            _ => return None,
        };
        Some(format!("{before} = {by};"))
    };
    head.lines().map(|line| changed(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::{Change, Step, changed_head};

    #[test]
    fn steps_change_numbers_and_keep_zero() {
        assert_eq!([Step::More, Step::Less, Step::Half].map(|step| step.of(8)), [9, 7, 4]);
        assert_eq!([Step::More, Step::Less, Step::Half].map(|step| step.of(0)), [1, 0, 0]);
        assert_eq!(f32::from_bits(Step::Percent.of(2f32.to_bits())), 2.02);
        assert_eq!(f32::from_bits(Step::Percent.of(0)), 0.01);
    }

    #[test]
    fn one_constant_of_a_head_changes() {
        let head = "enable f16;\nalias Elem = f16;\nconst SIDE: u32 = 16u;\nconst ENTROPY: bool = true;\n";
        assert_eq!(changed_head(head, "SIDE", Step::More), head.replace("16u", "17u"));
        assert_eq!(changed_head(head, "ENTROPY", Step::Flip), head.replace("true", "false"));
        assert_eq!(changed_head(head, "SIDE", Step::Flip), head);
        assert_eq!(changed_head(head, "NONE", Step::More), head);
    }

    #[test]
    fn changes_pass_between_processes() {
        let file = Change::File { path: "shaders/x.wgsl".into(), text: "fn x() {}\n".into() };
        let changes = [
            file,
            Change::Head { name: "SIDE".into(), step: Step::Less },
            Change::Param { word: 3, step: Step::Percent },
            Change::Workgroups { axis: 2, step: Step::Half },
            Change::Cut,
        ];
        for change in changes {
            assert_eq!(Change::from_json(&change.to_json()), Some(change));
        }
        assert_eq!(Change::from_json(&serde_json::json!({ "step": "+ 1" })), None);
    }
}
