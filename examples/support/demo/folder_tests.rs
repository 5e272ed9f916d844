#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use std::path::PathBuf;

const FILES: [&str; 3] = ["picture.png", "index.html", RESULT];

/// A folder that is removed with everything in it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("foveal-output-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> Result<Folder> {
        Folder::open(&self.0, "demo", &FILES)
    }

    /// Names and contents, but for locks.
    fn content(&self) -> Vec<(String, String)> {
        let entry = |e: std::io::Result<std::fs::DirEntry>| {
            let e = e.unwrap();
            let name = e.file_name().to_string_lossy().into_owned();
            let text =
                if e.path().is_dir() { "folder".into() } else { std::fs::read_to_string(e.path()).unwrap() };
            (name, text)
        };
        let mut all: Vec<_> = std::fs::read_dir(&self.0).unwrap().map(entry).collect();
        all.retain(|(name, _)| !name.ends_with("lock"));
        all.sort();
        all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn report(number: u8) -> Vec<(&'static str, Vec<u8>)> {
    let result = format!("{{\"report\": \"demo\", \"number\": {number}}}");
    vec![("picture.png", vec![b'0' + number]), ("index.html", vec![b'0' + number]), (RESULT, result.into())]
}

fn named(report: Vec<(&str, Vec<u8>)>) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        report.into_iter().map(|(n, b)| (n.to_owned(), String::from_utf8(b).unwrap())).collect();
    all.sort();
    all
}

#[test]
fn a_report_replaces_its_like_and_nothing_else() {
    let place = Place::new("like");
    let folder = place.open().unwrap();
    assert!(!folder.replaces && place.content().is_empty());
    folder.write(&report(1)).unwrap();
    assert_eq!(place.content(), named(report(1)));
    // Another run at the same time is refused; afterwards it is not.
    let text = place.open().unwrap_err().to_string();
    assert!(text.contains("another run") && text.contains("another folder"), "{text}");
    drop(folder);
    std::fs::write(place.0.join("notes.txt"), "mine").unwrap();
    let folder = place.open().unwrap();
    assert!(folder.replaces);
    folder.write(&report(2)).unwrap();
    let mut expected = named(report(2));
    expected.push(("notes.txt".into(), "mine".into()));
    expected.sort();
    assert_eq!(place.content(), expected);
}

#[test]
fn a_folder_of_something_else_is_refused_and_left_alone() {
    for (name, text) in
        [("index.html", "mine"), (RESULT, "{\"report\": \"scores\"}"), (RESULT, "not json"), (RESULT, "[]")]
    {
        let place = Place::new("else");
        std::fs::write(place.0.join(name), text).unwrap();
        let error = place.open().unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("give another folder"), "{error}");
        assert_eq!(place.content(), [(name.to_owned(), text.to_owned())]);
    }
    // A picture beside the result of something else, and a folder where a file would be.
    let place = Place::new("mixed");
    std::fs::write(place.0.join("picture.png"), "mine").unwrap();
    std::fs::write(place.0.join(RESULT), "{\"report\": \"scores\"}").unwrap();
    assert!(place.open().unwrap_err().to_string().contains("picture.png"));
    let place = Place::new("folder");
    std::fs::write(place.0.join(RESULT), "{\"report\": \"demo\"}").unwrap();
    std::fs::create_dir(place.0.join("index.html")).unwrap();
    assert!(place.open().unwrap_err().to_string().contains("index.html"));
    let file = place.0.join(RESULT);
    let text = Folder::open(&file, "demo", &FILES).unwrap_err().to_string();
    assert!(text.contains("a folder was expected"), "{text}");
}

#[test]
fn a_report_that_cannot_be_written_leaves_the_earlier_one() {
    let place = Place::new("full");
    let folder = place.open().unwrap();
    let broken = |number| {
        let mut files = report(number);
        // No file system takes such a name, as a full disk would take no more bytes.
        files.push(("no/such/folder", vec![0]));
        files
    };
    let text = folder.write(&broken(1)).unwrap_err().to_string();
    assert!(text.contains("no report was made"), "{text}");
    assert!(place.content().is_empty(), "{:?}", place.content());
    folder.write(&report(1)).unwrap();
    drop(folder);
    let folder = place.open().unwrap();
    let text = folder.write(&broken(2)).unwrap_err().to_string();
    assert!(text.contains("the earlier report is unchanged"), "{text}");
    assert_eq!(place.content(), named(report(1)));
    // What a run that was killed has left beside is no obstacle.
    std::fs::create_dir(place.0.join(UNFINISHED)).unwrap();
    std::fs::write(place.0.join(UNFINISHED).join("picture.png"), "half").unwrap();
    folder.write(&report(2)).unwrap();
    assert_eq!(place.content(), named(report(2)));
}
