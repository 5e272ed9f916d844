//! Lists as people write them, and what is wrong with them by line and clip.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

/// A folder of its own with some empty sounds and a list.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("foveal_list_{test}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        for name in ["a.wav", "a.mp4", "b.mp3", "film.mov", "twice.wav", "twice.ogg", "other.flac"] {
            std::fs::write(path.join(name), "").unwrap();
        }
        Self(path)
    }

    fn read(&self, name: &str, text: impl AsRef<[u8]>) -> Result<List, String> {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, [-3.0, 3.0])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_table_and_json_lines_say_the_same() {
    let folder = Folder::new("same");
    let listed = |id: &str, text: &str, label, split: &str, file: Option<&str>| Listed {
        id: id.into(),
        text: text.into(),
        label,
        split: split.into(),
        file: file.map(|file| folder.0.join(file)),
    };
    let expected = [
        listed("a", "So \"good\",\nit was.", Some(1.5), "train", Some("a.wav")),
        listed("b", "Schön.", None, "valid", Some("other.flac")),
        listed("c", "Nothing to hear", Some(-3.0), "test", None),
    ];
    let comma = "id,text,label,split,file,mode\na,\"So \"\"good\"\",\nit was.\",1.5,train,a.wav,x\n\
                 b,Schön.,,dev,other.flac,\nc,Nothing to hear,-3,,,\n";
    let semicolon = "\u{feff}id;text;label;split;file\r\na;\"So \"\"good\"\",\nit was.\";1,5;train;a.wav\r\n\
                     b;Schön.;;val;other.flac\r\nc;Nothing to hear;-3;;\r\n";
    let json = "{\"id\":\"a\",\"text\":\"So \\\"good\\\",\\nit was.\",\"label\":1.5,\"split\":\"train\"}\n\n\
                {\"id\":\"b\",\"text\":\"Schön.\",\"split\":\"validation\",\"file\":\"other.flac\",\"mode\":1}\n\
                {\"id\":\"c\",\"text\":\"Nothing to hear\",\"label\":-3,\"file\":\"\"}";
    for (name, text, unread) in [
        ("clips.csv", comma.to_owned(), vec!["mode"]),
        ("clips.csv", semicolon.to_owned(), vec![]),
        (
            "clips.tsv",
            comma.replace("good\"\",\n", "good\"\"@\n").replace(',', "\t").replace('@', ","),
            vec!["mode"],
        ),
        ("clips.jsonl", json.to_owned(), vec!["mode"]),
    ] {
        let found = folder.read(name, &text).unwrap();
        assert_eq!(found.clips, expected, "{name}: {text}");
        assert_eq!(found.unread, unread, "{name}");
    }
    // Without a column for files they are called as the clips are, and a sound goes before the film that it was taken out of.
    let found = folder.read("clips.csv", "text,id\nOne,a\nTwo,b\nThree,film\n").unwrap();
    let files: Vec<_> = found.clips.iter().map(|clip| clip.file.clone().unwrap()).collect();
    assert_eq!(files, ["a.wav", "b.mp3", "film.mov"].map(|name| folder.0.join(name)));
}

#[test]
fn a_folder_has_one_list() {
    let folder = Folder::new("one");
    assert!(place(&folder.0).unwrap_err().contains("needs clips.csv or clips.jsonl"));
    folder.read("clips.csv", "id,text\na,One\n").unwrap();
    assert_eq!(place(&folder.0).unwrap(), folder.0.join("clips.csv"));
    folder.read("clips.jsonl", "{\"id\":\"a\",\"text\":\"One\"}").unwrap();
    assert!(place(&folder.0).unwrap_err().contains("both clips.csv and clips.jsonl"));
    assert_eq!(place(&folder.0.join("x.csv")).unwrap(), folder.0.join("x.csv"));
}

#[test]
fn faults_are_named_by_line_and_clip() {
    let folder = Folder::new("faults");
    for (name, text, said) in [
        ("l.csv", "", "no column `id`"),
        ("l.csv", "id,text\n", "it lists no clip"),
        ("l.csv", "name,text\na,One\n", "line 1 has no column `id`, only name, text"),
        ("l.csv", "id,text,text\na,One,Two\n", "the column `text` twice"),
        ("l.csv", "id,text\na,One\nb\n", "line: 3"),
        ("l.csv", "id,text\na,One\n ,Two\n", "line 3, clip ``: its id is empty"),
        ("l.csv", "id,text\na,One\na,Two\n", "line 3, clip `a`: its id stands in line 2 too"),
        ("l.csv", "id,text\na,\" \"\n", "line 2, clip `a`: it has no text"),
        ("l.csv", "id,text,label\na,One,high\n", "line 2: label `high` is no number"),
        ("l.csv", "id,text,label\na,One,NaN\n", "label NaN is outside -3..3"),
        ("l.csv", "id,text,label\na,One,3.5\n", "label 3.5 is outside -3..3 (--label-range)"),
        (
            "l.csv",
            "id,text\nnone,One\n",
            "no none.wav, .flac, .mp3, .ogg, .m4a, .mp4, .mov or .mkv stands beside the list",
        ),
        ("l.csv", "id,text\ntwice,One\n", "several formats: name one in `file`"),
        ("l.csv", "id,text,file\na,One,gone.wav\n", "gone.wav is not there"),
        ("l.jsonl", "{\"id\":\"a\",\"text\":\"One\"}\n{\"id\":\"b\"}", "line 2: missing field `text`"),
        ("l.jsonl", "{\"id\":\"a\",\"text\":\"One\",\"label\":\"x\"}", "line 1: invalid type"),
        ("l.jsonl", "[", "line 1: "),
        ("l.txt", "a One", "a list is a .csv, .tsv or .jsonl file"),
    ] {
        let error = folder.read(name, text).unwrap_err();
        assert!(error.contains(said) && error.contains(name), "{text:?}: {error}");
    }
    let error = folder.read("l.csv", b"id,text\na,Sch\xf6n\n").unwrap_err();
    assert!(error.contains("line 2 is not UTF-8"), "{error}");
    assert!(read(&folder.0.join("no.csv"), [0.0, 1.0]).unwrap_err().contains("no.csv"));
}
