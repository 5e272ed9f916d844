#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::models::tokenizer::WordMatch;
use crate::pipelines::text_to_video::curve::TimingCurve;
use proptest::prelude::*;

fn axis() -> TimeAxis {
    TimeAxis::new(8, 1, 4.0).unwrap()
}

fn json(text: &str) -> Result<Plan> {
    Plan::parse(text, PlanFormat::Json, "folder/clip.json")
}

fn toml(text: &str) -> Result<Plan> {
    Plan::parse(text, PlanFormat::Toml, "folder/clip.toml")
}

/// What is wrong with a plan, on being read or on being laid on the clip.
fn fault(plan: Result<Plan>) -> String {
    plan.and_then(|p| p.timed_words(&axis())).unwrap_err().to_string()
}

const TOML: &str = r#"
prompt = "a red square and a blue cross and a green ring"
seed = 7
steps = 12
guidance_scale = 2.5

[[words]]
phrase = "red square"
curve = "0.5s..1s@0.5"

[[words]]
phrase = "blue cross"
keyframes = [["0s", 0], ["1s", 1]]
interpolation = "step"

[[words]]
phrase = "a"
occurrence = 2
curve = [0, 0, 0, 0, 1, 1, 1, 0.25]
"#;

#[test]
fn both_formats_say_the_same() {
    let found = toml(TOML).unwrap();
    let same = json(
        r#"{ "prompt": "a red square and a blue cross and a green ring", "seed": 7, "steps": 12, "guidance_scale": 2.5,
             "words": [
               { "phrase": "red square", "curve": "0.5s..1s@0.5" },
               { "phrase": "blue cross", "keyframes": [["0s", 0], ["1s", 1]], "interpolation": "step" },
               { "phrase": "a", "occurrence": 2, "curve": [0, 0, 0, 0, 1, 1, 1, 0.25] } ] }"#,
    )
    .unwrap();
    assert_eq!(found.words, same.words);
    assert_eq!((found.seed, found.steps, found.guidance_scale), (Some(7), Some(12), Some(2.5)));
    let words = found.timed_words(&axis()).unwrap();
    assert_eq!(words[0].curve.values(), [0., 0., 0.5, 0.5, 0., 0., 0., 0.]);
    assert_eq!(words[1].curve.values(), [0., 0., 0., 0., 1., 1., 1., 1.]);
    assert_eq!(words[2].curve.values(), [0., 0., 0., 0., 1., 1., 1., 0.25]);
    assert_eq!(words[2].occurrence, WordMatch::Nth(2));
    // What is shown can be typed.
    for (source, word) in found.words.iter().zip(&words) {
        assert_eq!(TimingCurve::parse(&source.curve.to_string(), &axis()).unwrap(), word.curve);
    }
}

#[test]
fn a_fault_of_syntax_or_type_has_its_line() {
    let at = |text: &str, line: usize| {
        let (json, message) =
            (text.starts_with('{'), fault(if text.starts_with('{') { json(text) } else { toml(text) }));
        assert!(message.starts_with(if json { "folder/clip.json" } else { "folder/clip.toml" }), "{message}");
        assert!(message.contains(&format!("line {line}")), "{message}");
        message
    };
    at("prompt = \"a\"\nseed = 1\nseed = 2\n", 3);
    at("prompt = \"a\"\nsed = 1\n", 2);
    at("prompt = \"a\"\nseed = -1\n", 2);
    at("{ \"prompt\": \"a\",\n \"seed\": }", 2);
    assert!(at("{ \"prompt\": \"a\",\n \"steps\": \"ten\" }", 2).contains("ten"));
    assert!(at("prompt = \"a\"\n[[words]]\nphrase = \"a\"\ncurve = 3\n", 4).contains("a curve as text"));
    assert!(
        at("prompt = \"a\"\n[[words]]\nphrase = \"a\"\nkeyframes = [[\"soon\", 1]]\n", 4).contains("soon")
    );
    assert!(
        at("prompt = \"a\"\n[[words]]\nphrase = \"a\"\nkeyframes = [[0, 1], [-3, 1]]\n", 4)
            .contains("out of range")
    );
    at("prompt = \"a\"\n[[words]]\nphrase = \"a\"\nkeyframes = [[0, 1]]\ninterpolation = \"bouncy\"\n", 5);
    at("prompt = \"a\"\n[[words]]\nphrase = \"a\"\naudio = { file = \"x.wav\", strat = 1 }\n", 4);
}

#[test]
fn a_fault_of_meaning_has_its_field() {
    let word = |line: &str| {
        fault(toml(&format!(
            "prompt = \"a car\"\n[[words]]\nphrase = \"car\"\ncurve = \"on\"\n[[words]]\n{line}\n"
        )))
    };
    for (line, field, reason) in [
        ("phrase = \"dog\"\ncurve = \"on\"", "words[1].phrase", "it has: a, car"),
        ("phrase = \"ar\"\ncurve = \"on\"", "words[1].phrase", "does not contain"),
        ("phrase = \"\"\ncurve = \"on\"", "words[1].phrase", "empty"),
        ("phrase = \"car\"\noccurrence = 1\ncurve = \"on\"", "words[1].phrase", "the prompt has 1"),
        ("phrase = \"car\"", "words[1].curve", "exactly one"),
        ("phrase = \"car\"\ncurve = \"on\"\nkeyframes = [[0, 1]]", "words[1].curve", "exactly one"),
        ("phrase = \"car\"\ncurve = \"on\"\ninterpolation = \"step\"", "words[1].interpolation", "keyframes"),
        ("phrase = \"car\"\ncurve = \"\"", "words[1].curve", "empty"),
        ("phrase = \"car\"\ncurve = []", "words[1].curve", "0 values"),
        ("phrase = \"car\"\ncurve = [1, 0]", "words[1].curve", "expected 8 values"),
        ("phrase = \"car\"\ncurve = [0, 0, 0, 0, 0, 0, 0, 1.5]", "words[1].curve", "frame 7 is 1.5"),
        ("phrase = \"car\"\ncurve = [0, 0, 0, 0, nan, 0, 0, 1]", "words[1].curve", "frame 4 is NaN"),
        ("phrase = \"car\"\nkeyframes = []", "words[1].keyframes", "there are none"),
        ("phrase = \"car\"\nkeyframes = [[3, 1], [2, 0]]", "words[1].keyframes", "does not come after"),
        ("phrase = \"car\"\nkeyframes = [[0, 1], [9, 0]]", "words[1].keyframes", "outside the clip"),
        ("phrase = \"car\"\nkeyframes = [[0, 2]]", "words[1].keyframes", "0 ..= 1"),
        ("phrase = \"car\"\naudio = { file = \"none.wav\" }", "words[1].audio", "folder/none.wav"),
    ] {
        let message = word(line);
        let (found, expected) = (message.starts_with("folder/clip.toml: "), message.contains(field));
        assert!(found && expected && message.contains(reason), "{line}: {message}");
    }
    assert!(fault(json(r#"{ "prompt": " " }"#)).contains("prompt: it is empty"));
    assert!(fault(json(r#"{ "prompt": "a", "steps": 0 }"#)).contains("steps"));
    assert!(fault(json(r#"{ "seed": 3 }"#)).contains("prompt"));
    assert!(Plan::open("clip.yaml").unwrap_err().to_string().contains(".toml or .json"));
}

#[test]
fn a_part_of_the_prompt_follows_one_curve() {
    let plan = |words: &[(&str, Option<usize>, &str)]| {
        let word = |(phrase, occurrence, curve): &(&str, Option<usize>, &str)| PlanWord {
            phrase: (*phrase).into(),
            occurrence: occurrence.map_or(WordMatch::All, WordMatch::Nth),
            curve: CurveSource::Text((*curve).into()),
        };
        Ok(Plan::new("a red square and a blue square", words.iter().map(word).collect()))
    };
    for words in [
        &[("red square", None, "4..8"), ("square", None, "0..4")][..],
        &[("square", None, "4..8"), ("red square", None, "0..4")],
        &[("square", None, "on"), ("Square", None, "on")],
        &[("square", None, "on"), ("square", None, "off")],
        &[("square", Some(1), "on"), ("square", None, "4..8")],
        &[("blue", None, "on"), ("a blue square", None, "off")],
    ] {
        let text = fault(plan(words));
        assert!(
            text.contains("words[1].phrase") && text.contains("is timed by words[0] too"),
            "{words:?}: {text}"
        );
        assert!(text.contains("leave one out"), "{text}");
    }
    for words in [
        &[("red square", None, "4..8"), ("blue square", None, "0..4")][..],
        &[("square", Some(0), "4..8"), ("square", Some(1), "0..4")],
        // They want the same.
        &[("red square", None, "4..8"), ("square", None, "1s..2s")],
        &[("red", None, "4..8"), ("square", None, "0..4")],
    ] {
        assert!(plan(words).and_then(|p| p.timed_words(&axis())).is_ok(), "{words:?}");
    }
}

#[test]
fn a_stretched_sound_has_no_start() {
    let word = |audio: &str| {
        fault(toml(&format!("prompt = \"a car\"\n[[words]]\nphrase = \"car\"\naudio = {audio}\n")))
    };
    let text = word("{ file = \"none.wav\", start = 1.5, stretch = true }");
    assert!(text.contains("words[0].audio") && text.contains("so it has no start"), "{text}");
    assert!(word("{ file = \"none.wav\", start = 0, stretch = true }").contains("none.wav"));
}

#[test]
fn how_a_plan_is_written_down_does_not_decide_whether_a_word_is_found() {
    let marked = format!("\u{feff}{}", TOML);
    assert_eq!(toml(&marked).unwrap(), toml(TOML).unwrap());
    let plan = |prompt: &str, phrase: &str| {
        json(&format!(
            "\u{feff}{{ \"prompt\": \"{prompt}\", \"words\": [{{ \"phrase\": \"{phrase}\", \"curve\": \"on\" }}] }}"
        ))
    };
    assert!(plan("\u{feff}a caf\u{e9}", "CAFE\u{301}").is_ok());
    assert!(plan("a \u{ff43}\u{ff41}\u{ff52}", "car").is_ok());
    assert!(fault(plan("two cars", "car")).contains("it has: two, cars"));
    let folder = std::env::temp_dir().join(format!("foveal-plan-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("clip.toml");
    let wide: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&path, wide).unwrap();
    assert!(Plan::open(&path).unwrap_err().to_string().contains("UTF-16: save it as UTF-8"));
    std::fs::write(&path, &marked).unwrap();
    assert_eq!(Plan::open(&path).unwrap().words, toml(TOML).unwrap().words);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_argument_may_name_a_sound() {
    let sound = |text: &str| match CurveSource::from_argument(text).unwrap() {
        CurveSource::Audio(audio) => (audio.file.display().to_string(), audio.start),
        other => (format!("{other:?}"), f64::NAN),
    };
    assert_eq!(sound("audio:beat.wav"), ("beat.wav".into(), 0.0));
    assert_eq!(sound("audio:a@b.mp3@-1.5s"), ("a@b.mp3".into(), -1.5));
    assert_eq!(sound("audio:a@b.mp3"), ("a@b.mp3".into(), 0.0));
    let released = |text: &str| CurveSource::from_argument(text).map(|source| source.to_string());
    assert_eq!(released("audio: released:a@b.mp3 ").unwrap(), "audio:released:a@b.mp3");
    assert!(released("audio:released:a.mp3@1s").unwrap_err().to_string().contains("it has no start"));
    for empty in ["audio:", "audio:released:", "audio:@1s"] {
        assert!(CurveSource::from_argument(empty).unwrap_err().to_string().contains("audio:FILE"), "{empty}");
    }
    assert_eq!(CurveSource::from_argument("4..8").unwrap(), CurveSource::Text("4..8".into()));
}

#[cfg(feature = "audio")]
fn sound_plan(audio: &str) -> Result<(Vec<TimedWord>, Vec<String>)> {
    let text =
        format!(r#"{{ "prompt": "a car", "words": [{{ "phrase": "car", "audio": {{ {audio} }} }}] }}"#);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipelines/sounds/fixtures/plan.json");
    Plan::parse(&text, PlanFormat::Json, folder).unwrap().timed(&axis())
}

#[cfg(feature = "audio")]
#[test]
fn a_sound_becomes_a_curve_in_its_own_time() {
    let values = |audio: &str| {
        let (words, warnings) = sound_plan(audio).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        words[0].curve.values().to_vec()
    };
    // The only onset is at 0.25 s of 0.5 s, 1.3 s into the clip, or in the middle of the clip.
    let at = |seconds: f64| -> Vec<f32> {
        let holds = |frame: &usize| {
            let (from, to) = axis().seconds_of(*frame);
            (from..to).contains(&seconds)
        };
        (0..8).map(|frame| if holds(&frame) { 1.0 } else { 0.0 }).collect()
    };
    assert_eq!(values(r#""file": "click.wav", "start": 1.05"#), at(1.3));
    assert_eq!(values(r#""file": "click.ogg", "start": -0.2"#), at(0.05));
    assert_eq!(values(r#""file": "aac.m4a", "start": 1.05"#), at(1.3));
    let stretched = values(r#""file": "click.flac", "stretch": true"#);
    assert!(stretched[3] + stretched[4] == 1.0 && stretched.iter().sum::<f32>() == 1.0, "{stretched:?}");
    // By the released rule a peak keeps its value and the rest is smoothed.
    for released in [
        r#""file": "click.flac", "rule": "released""#,
        r#""file": "click.wav", "rule": "released", "stretch": false, "start": 0.75, "sigma": 1.0, "threshold": 0.9"#,
    ] {
        let mask = values(released);
        let loudest = (0..8).max_by(|a, b| mask[*a].total_cmp(&mask[*b])).unwrap();
        assert!((3..=5).contains(&loudest) && mask[loudest] == 1.0, "{released}: {mask:?}");
        assert!(mask.iter().filter(|v| **v > 0.0).count() > 3, "{released}: {mask:?}");
    }
}

#[cfg(feature = "audio")]
#[test]
fn settings_of_a_sound_that_do_not_go_together_are_refused() {
    for (audio, reason) in [
        (r#""file": "click.wav", "threshold": 0.5"#, "belong to rule = \"released\""),
        (r#""file": "click.wav", "sigma": 1.0"#, "belong to rule = \"released\""),
        (r#""file": "click.wav", "stretch": true, "start": 0.5"#, "it has no start"),
        (r#""file": "click.wav", "rule": "released", "start": 0.5"#, "it has no start"),
        (r#""file": "click.wav", "start": 99"#, "it begins at 99s, and the clip ends at"),
        (r#""file": "click.wav", "start": -99"#, "it ends after 0.50 s"),
        (r#""file": "click.wav", "start": -0.4"#, "nothing begins in it within the clip"),
        (r#""file": "opus.opus""#, "Opus is not read"),
    ] {
        let text = sound_plan(audio).unwrap_err().to_string();
        assert!(text.contains("words[0].audio") && text.contains(reason), "{audio}: {text}");
    }
}

#[cfg(feature = "audio")]
#[test]
fn damage_of_a_sound_is_told() {
    let folder = std::env::temp_dir().join(format!("foveal-damaged-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipelines/sounds/fixtures/click.wav");
    std::fs::write(folder.join("cut.wav"), &std::fs::read(whole).unwrap()[..14_044]).unwrap();
    let text = r#"{ "prompt": "a car", "words": [{ "phrase": "car", "audio": { "file": "cut.wav" } }] }"#;
    let (words, warnings) =
        Plan::parse(text, PlanFormat::Json, folder.join("plan.json")).unwrap().timed(&axis()).unwrap();
    assert_eq!(warnings, ["cut.wav: it breaks off: 14000 of 16000 bytes of samples are there"]);
    assert!(words[0].curve.values().contains(&1.0), "{words:?}");
    std::fs::remove_dir_all(folder).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn a_damaged_plan_never_panics(at in 0usize..TOML.len(), junk in "\\PC{0,6}", cut in 0usize..12) {
        let (mut text, at) = (TOML.to_owned(), at.min(TOML.len()));
        text.replace_range(at..(at + cut).min(TOML.len()), &junk);
        if let Ok(plan) = toml(&text) {
            for word in plan.timed_words(&axis()).unwrap_or_default() {
                prop_assert_eq!(word.curve.frames(), 8);
            }
        }
    }
}
