//! Boxes and times in an answer, however the model writes them.

/// A box with what the answer calls it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GroundedBox {
    /// Its name; empty where there is none.
    pub label: String,
    /// Left, top, right and bottom, as the answer has them: in pixels of what the model sees, see
    /// [`Visual::to_source`](super::Visual::to_source).
    pub corners: [f64; 4],
}

/// Where and when an answer says that something is.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Grounded {
    /// Boxes, in their order.
    pub boxes: Vec<GroundedBox>,
    /// Seconds, in their order.
    pub times: Vec<f64>,
}

impl Grounded {
    /// Reads an answer: boxes as four numbers in brackets, two corners of an upright rectangle, behind their name
    /// (`Dog bbox: [1, 2, 30, 40]`) or in an object with a `label` (`{"bbox_2d": [1, 2, 30, 40], "label": "dog"}`); times as a
    /// number before `s`, `sec` or `seconds`, or as minutes and seconds (`1:05.5`). What is neither is left out.
    pub fn read(answer: &str) -> Self {
        Self { boxes: boxes(answer), times: times(answer) }
    }
}

fn boxes(answer: &str) -> Vec<GroundedBox> {
    let mut found = Vec::new();
    for (open, _) in answer.match_indices('[') {
        let Some(inner) = answer.get(open + 1..) else { continue };
        let Some(close) = inner.find(']') else { break };
        let numbers: Option<Vec<f64>> = inner
            .get(..close)
            .unwrap_or_default()
            .split(',')
            .map(|n| n.trim().parse::<f64>().ok().filter(|v| v.is_finite()))
            .collect();
        let Some(corners) = numbers.and_then(|n| <[f64; 4]>::try_from(n).ok()) else { continue };
        let [x1, y1, x2, y2] = corners;
        if x2 <= x1 || y2 <= y1 {
            continue;
        }
        let before = answer.get(..open).unwrap_or_default();
        let behind = inner.get(close + 1..).unwrap_or_default();
        found.push(GroundedBox { label: label(before, behind), corners });
    }
    found
}

fn label(before: &str, behind: &str) -> String {
    // The rest of the object that the box stands in, or its beginning.
    let rest = behind.split('}').next().unwrap_or_default();
    let start = before.rsplit('{').next().unwrap_or_default();
    if before.contains('{')
        && !start.contains('}')
        && let Some(name) = [rest, start].iter().find_map(|part| json_label(part))
    {
        return name;
    }
    let line = before.rsplit(['\n', ']', '}', '.', ';']).next().unwrap_or_default();
    let name = line.trim().trim_end_matches(':').trim();
    let name = ["bbox", "bounding box", "box"]
        .iter()
        .find_map(|word| {
            name.len().checked_sub(word.len()).and_then(|at| {
                let (head, tail) = name.split_at_checked(at)?;
                tail.eq_ignore_ascii_case(word).then_some(head)
            })
        })
        .unwrap_or(name);
    name.trim_matches(|c: char| c.is_whitespace() || "\"'{(:,-".contains(c)).to_owned()
}

fn json_label(part: &str) -> Option<String> {
    let (_, value) = part.split_once("\"label\"")?;
    let value = value.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    Some(value.split('"').next()?.to_owned())
}

fn times(answer: &str) -> Vec<f64> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = answer.get(at..).and_then(|rest| rest.find(|c: char| c.is_ascii_digit())) {
        let start = at + start;
        let rest = answer.get(start..).unwrap_or_default();
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
        at = start + length.max(1);
        // A digit of a word, as in `R2D2`, begins no number.
        let alone =
            !answer.get(..start).unwrap_or_default().ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let number = rest.get(..length).unwrap_or_default().trim_end_matches(['.', ':']);
        let seconds = match number.split_once(':') {
            Some((minutes, seconds)) => clock(minutes, seconds),
            None => number.parse::<f64>().ok().filter(|_| unit(rest.get(number.len()..).unwrap_or_default())),
        };
        found.extend(seconds.filter(|v| alone && v.is_finite()));
    }
    found
}

/// Minutes and seconds, or hours before them.
fn clock(first: &str, rest: &str) -> Option<f64> {
    let (minutes, seconds) = match rest.split_once(':') {
        Some((minutes, seconds)) => {
            (first.parse::<f64>().ok()? * 60.0 + minutes.parse::<f64>().ok()?, seconds)
        }
        None => (first.parse::<f64>().ok()?, rest),
    };
    let seconds = seconds.parse::<f64>().ok().filter(|s| *s < 60.0)?;
    Some(minutes * 60.0 + seconds)
}

fn unit(rest: &str) -> bool {
    let rest = rest.trim_start_matches([' ', '\u{a0}', '\u{202f}']);
    let word =
        rest.find(|c: char| !c.is_alphanumeric()).map_or(rest, |end| rest.get(..end).unwrap_or_default());
    ["s", "sec", "secs", "second", "seconds"].iter().any(|unit| word.eq_ignore_ascii_case(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(label: &str, corners: [f64; 4]) -> GroundedBox {
        GroundedBox { label: label.into(), corners }
    }

    #[test]
    fn boxes_are_read_in_the_ways_models_write_them() {
        let read =
            Grounded::read("Person bbox: [1, 2.5, 30, 40]\nDog: [5,6,7,8] and [9, 9, 1, 1]\nTime: 12.0s");
        assert_eq!(read.boxes, [named("Person", [1.0, 2.5, 30.0, 40.0]), named("Dog", [5.0, 6.0, 7.0, 8.0])]);
        assert_eq!(read.times, [12.0]);
        let read = Grounded::read(
            r#"[{"bbox_2d": [1, 2, 3, 4], "label": "red cup"}, {"label": "b", "bbox": [5,6,7,8]}]"#,
        );
        assert_eq!(read.boxes, [named("red cup", [1.0, 2.0, 3.0, 4.0]), named("b", [5.0, 6.0, 7.0, 8.0])]);
        assert_eq!(
            Grounded::read("red square. Time: 2.0s. Object bbox: [28,14,70,56]").boxes[0].label,
            "Object"
        );
        let read = Grounded::read(r#"{"bbox_2d": [1, 2, 3, 4], "label": "a"} Dog [5, 6, 7, 8]"#);
        assert_eq!(read.boxes[1].label, "Dog");
        assert_eq!(Grounded::read("[0,0,9,9]").boxes, [named("", [0.0, 0.0, 9.0, 9.0])]);
    }

    #[test]
    fn times_are_read_in_the_ways_models_write_them() {
        let times = |text: &str| Grounded::read(text).times;
        assert_eq!(times("at 3 s, then 4.5 seconds, <6.0 seconds>, 7sec."), [3.0, 4.5, 6.0, 7.0]);
        assert_eq!(times("from 1:05.5 to 1:02:03"), [65.5, 3723.0]);
        assert_eq!(times("2 dogs, R2s, 5 sheep, 1:99, 3.4.5 s, 12"), Vec::<f64>::new());
        assert_eq!(times("It happens at 2."), Vec::<f64>::new());
        assert_eq!(times("2s"), [2.0]);
    }

    #[test]
    fn noise_is_no_reason_to_fail() {
        for text in [
            "[",
            "[[[",
            "[1,2,3",
            "[1,2,3,4,5]",
            "[a,b,c,d]",
            "[1,2,3,NaN]",
            "[1,2,inf,4]",
            "é[1,2,3,4",
            "١٢ s",
            "",
        ] {
            assert_eq!(Grounded::read(text).boxes, []);
        }
    }
}
