//! What became of each text since the record was written.

use std::collections::BTreeMap;

use super::costs::Cost;
use super::marks::Row;

/// Lines for a reader, by what they say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Any of these fails the comparison.
    pub(super) worse: Vec<String>,
    pub(super) better: Vec<String>,
    pub(super) new: Vec<String>,
    pub(super) gone: Vec<String>,
    /// Texts whose other numbers changed.
    pub(super) other: usize,
}

/// Compares a record's rows with those of now.
pub(super) fn compare(was: &[Row], now: &[Row]) -> Difference {
    let mut difference = Difference::default();
    let before: BTreeMap<_, _> = was.iter().map(|row| (row.key(), row)).collect();
    let after: BTreeMap<_, _> = now.iter().map(|row| (row.key(), row)).collect();
    for (key, row) in &after {
        match before.get(key) {
            Some(old) => changed(old, row, &mut difference),
            None => {
                if let Some(error) = &row.error {
                    difference.worse.push(line(row, &format!("new and does not compile: {error}")));
                } else if let Some(count) = row.costs.get(Cost::Spilled).filter(|count| *count > 0.0) {
                    difference.worse.push(line(row, &format!("new and spills {count} registers")));
                } else {
                    difference.new.push(line(row, "new"));
                }
            }
        }
    }
    let matrix = |row: &Row| row.costs.get(Cost::Matrix).unwrap_or(0.0);
    for (key, old) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        // A variant may have another name; a case that no text has matrix instructions for has lost them.
        let same = |row: &&Row| (row.kernel.as_str(), row.case.as_str()) == (key.0, key.1);
        let others = now.iter().filter(same).map(matrix).fold(0.0, f64::max);
        if matrix(old) > 0.0 && others == 0.0 {
            difference.worse.push(line(old, &format!("gone, and with it matrix {} → 0", matrix(old))));
        } else {
            difference.gone.push(line(old, "gone"));
        }
    }
    difference
}

fn changed(was: &Row, now: &Row, difference: &mut Difference) {
    match (&was.error, &now.error) {
        (None, Some(error)) => {
            return difference.worse.push(line(now, &format!("does not compile: {error}")));
        }
        (Some(_), None) => return difference.better.push(line(now, "compiles")),
        (Some(_), Some(_)) => return,
        (None, None) => {}
    }
    let (mut worse, mut better) = (Vec::new(), Vec::new());
    for (cost, name) in Cost::ALL {
        let Some(direction) = cost.gate() else { continue };
        let (old, new) = (was.costs.get(cost), now.costs.get(cost));
        if old == new {
            continue;
        }
        let change = format!("{name} {} → {}", was.costs.shown(cost), now.costs.shown(cost));
        match (old, new) {
            (Some(old), Some(new)) if direction.is(old, new) => worse.push(change),
            (Some(old), Some(new)) if direction.is_better(old, new) => better.push(change),
            (Some(_), Some(_)) => {}
            // Another loop is the hottest, or none.
            _ if cost.is_of_pass() => {}
            // What was told and is told no more cannot be vouched for.
            (Some(_), None) => worse.push(change),
            (None, _) => better.push(change),
        }
    }
    if !worse.is_empty() {
        let also = better.iter().map(|change| format!("{change} (for the better)"));
        difference.worse.push(line(now, &worse.into_iter().chain(also).collect::<Vec<_>>().join(", ")));
    } else if !better.is_empty() {
        difference.better.push(line(now, &better.join(", ")));
    } else if was != now {
        difference.other += 1;
    }
}

fn line(row: &Row, what: &str) -> String {
    let (kernel, case, variant) = row.key();
    format!("{kernel} | {case} | {variant}\n      {what}")
}

impl Difference {
    /// All of it for a person.
    pub(super) fn shown(&self) -> String {
        let lists =
            [("worse", &self.worse), ("better", &self.better), ("new", &self.new), ("gone", &self.gone)];
        let mut text = String::new();
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            text += &format!("  {name}: {}\n", list.len());
            text.extend(list.iter().map(|line| format!("    {line}\n")));
        }
        if self.other > 0 {
            text += &format!("  other numbers of {} texts changed\n", self.other);
        }
        if text.is_empty() { "  no difference\n".into() } else { text }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
