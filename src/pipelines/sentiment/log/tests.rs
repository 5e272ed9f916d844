//! Files of scores: torn, foreign, mixed, shared and full.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;

const ODD: [&str; 8] = ["one", "a \"b\",\u{e9}", "two\nlines", "cr\r", "", ",", "\"", "\\n\u{1f600}\t"];

fn origin() -> Origin {
    Origin { model: "0123456789abcdef".into(), data: "fedcba9876543210".into() }
}

fn score(id: &str) -> Score {
    Score { id: id.into(), score: 0.25, missing: vec!["audio".into()] }
}

fn unscored(id: &str) -> Unscored {
    Unscored { id: id.into(), reason: "audio has 7 frames, \"most\" is\n3".into() }
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("foveal_log_{name}_{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn begun(path: &Path) -> Result<ScoreLog> {
    let mut log = ScoreLog::open(path)?;
    log.go_on(origin())?;
    Ok(log)
}

fn refused(path: &Path, said: &str) {
    let before = std::fs::read(path).unwrap();
    let error = begun(path).map_or_else(|e| e.to_string(), |log| panic!("{said}: taken with {log:?}"));
    assert!(error.contains(said), "{said}: {error}");
    assert_eq!(std::fs::read(path).unwrap(), before, "{said}: the file was changed");
}

#[test]
fn a_run_that_dies_at_any_byte_goes_on_without_loss_or_repetition() {
    for extension in ["jsonl", "csv"] {
        let path = scratch(extension).join(format!("a.{extension}"));
        let mut log = begun(&path).unwrap();
        log.add(&ODD.map(score)).unwrap();
        log.add_unscored(&[unscored("long"), unscored("one")]).unwrap();
        log.add(&[Score { score: f32::NAN, ..score("nan") }]).unwrap();
        assert_eq!((log.len(), log.unscored()), (ODD.len() + 2, 2));
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        // Every one of them takes some writes that are forced to the disk.
        for torn in (0..=whole.len()).step_by(6) {
            std::fs::write(&path, &whole[..torn]).unwrap();
            let mut log = begun(&path).unwrap_or_else(|e| panic!("{extension}, {torn} bytes: {e}"));
            let before = log.len();
            log.add(&ODD.map(score)).unwrap();
            log.add_unscored(&[unscored("long")]).unwrap();
            log.add(&[Score { score: f32::NAN, ..score("nan") }]).unwrap();
            assert!(before <= log.len() && ODD.iter().all(|id| log.has(id)));
            drop(log);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{extension}, {torn} bytes");
        }
        // A file that an editor left without its last line end, or with others, is not scored anew.
        let line_ends = String::from_utf8(whole.clone()).unwrap().replace("}\n", "}\r\n");
        for edited in [&whole[..whole.len() - 1], line_ends.as_bytes()] {
            std::fs::write(&path, edited).unwrap();
            assert_eq!(begun(&path).unwrap().len(), ODD.len() + 2);
        }
    }
}

#[test]
fn what_is_not_of_this_program_stays_as_it_is() {
    let folder = scratch("foreign");
    let of = |id: &str, origin: &Origin, format| Line::scored(&score(id), origin).text(format).unwrap();
    let other = Origin { model: "ffffffffffffffff".into(), ..origin() };
    let (json, csv) = (LogFormat::JsonLines, LogFormat::Csv);
    let line = of("a", &origin(), json);
    let row = of("a", &origin(), csv);
    for (name, content, said) in [
        ("a.jsonl", "something else\n".into(), "line 1 is no score"),
        ("a.jsonl", "something else".into(), "after 0 whole lines is no score"),
        ("a.jsonl", "\n".into(), "line 1"),
        ("a.jsonl", " ".into(), "after 0 whole lines"),
        ("a.jsonl", "{\"id\": \"a\", \"text\"".into(), "after 0 whole lines"),
        ("a.jsonl", "{\"id\":\"a\",\"text\":\"b\"}".into(), "after 0 whole lines"),
        ("a.jsonl", "{\"id\":\"a\",\"score\":1.0,\"missing\":[]}\n".into(), "line 1 is no score"),
        ("a.jsonl", format!("{line}notes"), "after 1 whole lines"),
        ("a.jsonl", format!("{line}{line}"), "line 2 is the second one of clip `a`"),
        ("a.jsonl", format!("{line}{}", of("b", &other, json)), "line 2 is of model ffffffffffffffff"),
        ("a.jsonl", line.replace("0.25", "null"), "line 1 is no score"),
        ("a.jsonl", line.replace("0123", "012"), "line 1 is no score"),
        ("a.jsonl", of("a", &other, json), "its scores are of another model (model ffffffffffffffff"),
        ("a.csv", "id,score\n".into(), "its first line is not `id,score,missing,error,model,data`"),
        ("a.csv", "id,text".into(), "after 0 whole lines"),
        ("a.csv", row.clone(), "its first line is not"),
        ("a.csv", row.trim_end().into(), "after 0 whole lines"),
        ("a.csv", format!("{HEADER}\na,b\n"), "line 2 is no score"),
        ("a.csv", format!("{HEADER}\na note"), "after 1 whole lines"),
        ("a.csv", format!("{HEADER}\n{row}{row}"), "line 3 is the second one of clip `a`"),
        ("a.csv", format!("{HEADER}\n{}", row.replace("0.25", "inf")), "line 2 is no score"),
        ("a.csv", format!("{HEADER}\n{}", row.replace("\"a\"", "\"a\"b")), "line 2 is no score"),
        ("a.csv", format!("{HEADER}\n{}", of("a", &other, csv)), "its scores are of another model"),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        refused(&path, said);
    }
    let path = folder.join("b.csv");
    let data = Origin { data: "0000000000000000".into(), ..origin() };
    std::fs::write(&path, format!("{HEADER}\n{}", of("a", &data, csv))).unwrap();
    refused(&path, "its scores are of other data");
    let both = Origin { data: "0000000000000000".into(), ..other };
    std::fs::write(&path, format!("{HEADER}\n{}", of("a", &both, csv))).unwrap();
    refused(&path, "another model and other data");
    // Unquoted, as spreadsheets write it.
    std::fs::write(&path, format!("{HEADER}\r\n{}", row.replace("\"a\"", "a").replace('\n', "\r\n")))
        .unwrap();
    assert!(begun(&path).unwrap().has("a"));
}

#[test]
fn what_is_no_place_for_scores_is_refused() {
    let folder = scratch("places");
    for (path, said) in [
        (folder.join("a.txt"), ".jsonl or .csv"),
        (folder.join("scores"), ".jsonl or .csv"),
        (folder.join("none/a.csv"), "a.csv"),
    ] {
        assert!(ScoreLog::open(&path).unwrap_err().to_string().contains(said), "{}", path.display());
    }
    std::fs::create_dir(folder.join("b.csv")).unwrap();
    assert!(ScoreLog::open(folder.join("b.csv")).unwrap_err().to_string().contains("not a regular file"));
    let mut early = ScoreLog::open(folder.join("c.csv")).unwrap();
    assert!(matches!(early.add(&[score("a")]), Err(Error::Input { .. })));
    assert!(matches!(early.add_unscored(&[unscored("a")]), Err(Error::Input { .. })));
}

#[test]
fn a_file_has_one_writer_at_a_time() {
    let path = scratch("shared").join("a.jsonl");
    let mut first = begun(&path).unwrap();
    first.add(&[score("a")]).unwrap();
    refused(&path, "another run is writing its scores to it");
    // By another name too.
    #[cfg(unix)]
    {
        let link = path.with_file_name("link.jsonl");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        refused(&link, "another run");
    }
    first.add(&[score("b")]).unwrap();
    drop(first);
    assert_eq!(begun(&path).unwrap().len(), 2);
}

proptest! {
    #[test]
    fn any_bytes_are_lines_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), first: bool) {
        for format in [LogFormat::JsonLines, LogFormat::Csv] {
            let (lines, tail) = lines::split(&bytes, format);
            let sum: usize = lines.iter().map(|line| line.len() + 1).sum();
            prop_assert_eq!(sum + tail.len(), bytes.len());
            prop_assert!(lines.iter().all(|line| Line::parse(line, format).is_none()));
            Line::tail(tail, format, first);
        }
    }

    #[test]
    fn any_line_comes_back_and_any_beginning_of_it_is_torn(id in any::<String>(), reason in "\\PC+", value: f32) {
        for format in [LogFormat::JsonLines, LogFormat::Csv] {
            let unscored = Unscored { id: id.clone(), reason: reason.clone() };
            let scored = Score { score: value, ..score(&id) };
            for line in [Line::unscored(&unscored, &origin()), Line::scored(&scored, &origin())] {
                let text = line.text(format).unwrap();
                let (lines, tail) = lines::split(text.as_bytes(), format);
                prop_assert_eq!((lines.len(), tail.len()), (1, 0));
                prop_assert_eq!(Line::parse(lines[0], format), Some(line));
                for at in 1..text.len() - 1 {
                    prop_assert_eq!(Line::tail(&text.as_bytes()[..at], format, false), Tail::Torn, "{} bytes of {}", at, text);
                }
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_moved_away_gets_no_more_lines() {
    let path = scratch("moved").join("a.jsonl");
    let mut log = begun(&path).unwrap();
    log.add(&[score("a")]).unwrap();
    std::fs::rename(&path, path.with_file_name("b.jsonl")).unwrap();
    assert!(log.add(&[score("b")]).unwrap_err().to_string().contains("was moved, removed or replaced"));
    std::fs::write(&path, "").unwrap();
    assert!(log.add(&[score("b")]).unwrap_err().to_string().contains("was moved, removed or replaced"));
    assert!(!log.has("b"));
}
