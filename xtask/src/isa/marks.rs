//! Reads what the program `isa` writes to standard error: its marks, and between them what the driver prints.

use serde_json::Value;

use super::code::Code;
use super::costs::Costs;
use crate::Result;

/// What one driver prints of a text.
pub(super) trait Dump {
    fn line(&mut self, line: &str);

    /// What was printed since the last time.
    fn take(&mut self) -> (Costs, Code);
}

/// What a record holds of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) kernel: String,
    /// The first bench case that compiles to it.
    pub(super) case: String,
    pub(super) variant: String,
    pub(super) way: String,
    /// Whether a device like this takes the variant for tensors of its types.
    pub(super) taken: bool,
    /// Whether it is written for cooperative matrices.
    pub(super) matrices: bool,
    pub(super) error: Option<String>,
    pub(super) costs: Costs,
}

impl Row {
    /// What names a text in every record.
    pub(super) fn key(&self) -> (&str, &str, &str) {
        (&self.kernel, &self.case, &self.variant)
    }
}

/// What a case has to do, where the program tells.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Work {
    pub(super) flops: Option<f64>,
    /// That cross memory when everything is touched once.
    pub(super) bytes: Option<f64>,
}

/// A text with its code, where the driver prints it.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) row: Row,
    pub(super) work: Work,
    pub(super) code: Code,
}

/// All that a run said.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) adapter: String,
    pub(super) driver: String,
    pub(super) texts: Vec<Text>,
}

/// Takes lines as they come.
pub(super) struct Reader {
    dump: Box<dyn Dump>,
    run: Run,
    open: Option<(Row, Work)>,
    /// The texts that the program counted, once it is done.
    end: Option<u64>,
    /// The last lines outside of texts, where a program says why it ends.
    outside: Vec<String>,
}

impl Reader {
    pub(super) fn new(dump: Box<dyn Dump>) -> Self {
        Self { dump, run: Run::default(), open: None, end: None, outside: Vec::new() }
    }

    pub(super) fn line(&mut self, line: &str) -> Result {
        let Some((kind, facts)) = line.strip_prefix("@@@").and_then(|mark| mark.split_once('\t')) else {
            if self.open.is_some() {
                self.dump.line(line);
            } else if !line.is_empty() && !line.starts_with('\t') {
                self.outside.truncate(7);
                self.outside.insert(0, line.into());
            }
            return Ok(());
        };
        let facts: Value =
            serde_json::from_str(facts).map_err(|e| format!("a mark of `isa`: {e}: {facts}"))?;
        let word = |name: &str| clean(facts[name].as_str().unwrap_or_default());
        match kind {
            "CAPS" => {
                self.run.adapter = word("adapter");
                self.run.driver = word("driver");
            }
            "TEXT" => {
                let _ = self.dump.take();
                let flag = |name: &str| facts[name].as_bool().unwrap_or_default();
                let row = Row {
                    kernel: word("kernel"),
                    case: word("case"),
                    variant: word("variant"),
                    way: word("way"),
                    taken: flag("taken"),
                    matrices: flag("matrices"),
                    ..Row::default()
                };
                self.open =
                    Some((row, Work { flops: facts["flops"].as_f64(), bytes: facts["bytes"].as_f64() }));
            }
            "DONE" => {
                let Some((mut row, work)) = self.open.take() else {
                    return Err("a text ends that did not begin".into());
                };
                let (costs, code) = self.dump.take();
                row.costs = costs;
                row.error = facts.as_str().map(clean);
                self.run.texts.push(Text { row, work, code });
            }
            "END" => self.end = facts.as_u64(),
            _ => return Err(format!("a mark that is not known: {kind}")),
        }
        Ok(())
    }

    /// All texts, in a record's order; an error where the program did not come to its end.
    pub(super) fn done(self) -> Result<Run> {
        if let Some((row, _)) = &self.open {
            let (kernel, case, variant) = row.key();
            return Err(format!("the driver ended the program at {kernel} | {case} | {variant}"));
        }
        let mut run = self.run;
        match self.end {
            None => {
                let said: Vec<_> = self.outside.into_iter().rev().collect();
                return Err(format!("`isa` did not come to its end; it said:\n{}", said.join("\n")));
            }
            Some(count) if count != run.texts.len() as u64 => {
                return Err(format!("`isa` counted {count} texts, of which {} were read", run.texts.len()));
            }
            Some(_) => {}
        }
        run.texts.sort_by(|a, b| a.row.key().cmp(&b.row.key()));
        if let Some(twice) = run.texts.windows(2).find(|two| two[0].row.key() == two[1].row.key()) {
            return Err(format!("two texts have one name: {:?}", twice[0].row.key()));
        }
        // Without numbers everything would look well.
        if let Some(silent) =
            run.texts.iter().find(|t| t.row.error.is_none() && t.row.costs == Costs::default())
        {
            return Err(format!("the driver printed nothing of {:?}", silent.row.key()));
        }
        Ok(run)
    }
}

/// A record's lines and columns end where they should.
fn clean(text: &str) -> String {
    text.split(['\n', '\t', '\r'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
