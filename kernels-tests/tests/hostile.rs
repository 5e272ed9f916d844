//! Every parser against bytes that nobody vouches for: no panic, no allocation beyond a multiple of what was given, an
//! error that names file and field.
//!
//! Valid files are mutated and arbitrary bytes are made up; the committed seeds and every file that once broke a parser
//! (`fuzz/`) are replayed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::models::tokenizer::Tokenizer;
use foveal::models::umt5::Umt5Config;
use foveal::models::wan::WanConfig;
use foveal::pipelines::text_to_video::ClipDefaults;
use foveal::weights::{ConfigFile, WeightStore};
use foveal::{Error, Result};
use kernels_tests::hostile::{Driver, Folder, PARSERS, weight_file};
use kernels_tests::root;
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what each thread holds, so that a test sees its own allocations only.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator unchanged; the counters are plain cells that never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LIVE.try_with(|live| {
            live.set(live.get().wrapping_add(layout.size()));
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
        });
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread allocated does not count against this one.
        let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub(layout.size())));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a call holds at most beyond what was live before it.
fn peak_of(call: impl FnOnce()) -> usize {
    let before = LIVE.get();
    PEAK.set(before);
    call();
    PEAK.get().saturating_sub(before)
}

/// A parsed header has a map entry of some hundred bytes for a tensor of a few dozen characters, and is kept twice; a
/// tokenizer brings tables of its own, and a curve its frames. A sound is compressed, flac up to a block of 65,535 equal
/// samples in a dozen bytes, and a doubling vector holds thrice its samples for a moment; a Vorbis decoder has tables.
fn allowed(parser: &str, input: usize) -> usize {
    match parser {
        "sound" => 65_535 / 12 * 4 * 3 * input + (64 << 20),
        _ => 128 * input + (8 << 20),
    }
}

/// Panics inside the tokenizer and the sound library are turned into errors; the default hook would first print each with
/// a backtrace, whose symbols take more memory than any parser.
fn without_caught_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let caught = |file: &str| file.contains("tokenizers-") || file.contains("symphonia-");
            if !info.location().is_some_and(|place| caught(place.file())) {
                default(info);
            }
        }));
    });
}

fn drive(name: &str, driver: Driver, data: &[u8]) {
    without_caught_panics();
    let peak = peak_of(|| driver(data));
    assert!(peak <= allowed(name, data.len()), "{name}: {peak} bytes for an input of {}", data.len());
}

fn files_below(folder: &str, parser: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("fuzz").join(folder).join(parser);
    let mut files: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
    files.sort_by_key(std::fs::DirEntry::path);
    files.iter().map(|f| (f.path().display().to_string(), std::fs::read(f.path()).unwrap())).collect()
}

#[test]
fn seeds_and_regressions_are_replayed() {
    for (name, driver) in PARSERS {
        let seeds = files_below("corpus", name);
        assert!(seeds.len() >= 2, "{name} has {} seeds", seeds.len());
        for (file, data) in seeds.into_iter().chain(files_below("regressions", name)) {
            println!("{file}");
            drive(name, *driver, &data);
        }
    }
}

#[test]
fn every_parser_has_its_target_and_no_target_is_left_over() {
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let parsers = sorted(PARSERS.iter().map(|(name, _)| (*name).to_owned()).collect());
    let names_in = |folder: &str| {
        let entries = std::fs::read_dir(root().join("fuzz").join(folder)).unwrap();
        sorted(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
    };
    let files: Vec<String> = parsers.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names_in("fuzz_targets"), files, "fuzz/fuzz_targets");
    assert_eq!(names_in("corpus"), parsers, "fuzz/corpus");
    assert!(names_in("regressions").iter().all(|name| parsers.contains(name)), "fuzz/regressions");
    let read = |file: &str| std::fs::read_to_string(root().join("fuzz").join(file)).unwrap();
    let manifest = read("Cargo.toml");
    let binaries: Vec<(&str, &str)> = manifest
        .split("[[bin]]")
        .skip(1)
        .map(|table| {
            let value = |key: &str| table.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(" = "));
            (value("name").unwrap().trim_matches('"'), value("path").unwrap().trim_matches('"'))
        })
        .collect();
    assert_eq!(sorted(binaries.iter().map(|(name, _)| (*name).to_owned()).collect()), parsers, "[[bin]]");
    let listed = read("README.md");
    for (name, path) in binaries {
        assert_eq!(path, format!("fuzz_targets/{name}.rs"));
        assert!(read(path).contains(&format!("hostile::{name}(data)")), "{path} drives another parser");
        assert!(listed.contains(&format!("`{name}`")), "fuzz/README.md does not list {name}");
    }
}

#[test]
fn every_cut_of_a_seed_is_refused_or_read() {
    for (name, driver) in PARSERS {
        for (_, data) in files_below("corpus", name).iter().filter(|(_, data)| data.len() < 3000) {
            // Cuts of the large ones differ little from one byte to the next.
            let step = (data.len() / 150).max(1);
            (0..data.len()).step_by(step).for_each(|cut| drive(name, *driver, &data[..cut]));
        }
    }
}

/// What is done to a valid file.
#[derive(Debug, Clone)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, usize),
}

/// Values that have broken parsers before, theirs or ours.
const NASTY: &[&str] = &[
    "0",
    "-1",
    "1e400",
    "1e-400",
    "NaN",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "[[[[",
    "18446744073709551615",
    "1099511627776",
    "9007199254740993",
    "0.1",
    "\"../../etc/passwd\"",
    "\"\\ud800\"",
    "\u{0}",
    "\u{feff}",
    "..",
    "s",
    "=",
    "\"a\":",
    "{\"a\":{\"a\":",
    "1000000000",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    let nasty = prop_oneof![
        prop::sample::select(NASTY).prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..9),
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 1..40usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
        (at(), nasty).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), 1..200usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
    ]
}

fn mutate(data: &mut Vec<u8>, mutation: &Mutation) {
    let place = |at: &prop::sample::Index, len: usize| at.index(len + 1);
    match mutation {
        Mutation::Set(at, byte) if !data.is_empty() => {
            let at = at.index(data.len());
            data[at] = *byte;
        }
        Mutation::Set(..) => {}
        Mutation::Remove(at, len) => {
            let from = place(at, data.len());
            let to = (from + len).min(data.len());
            data.drain(from..to);
        }
        Mutation::Insert(at, bytes) => {
            let at = place(at, data.len());
            data.splice(at..at, bytes.iter().copied());
        }
        Mutation::Repeat(at, len) => {
            let from = place(at, data.len());
            let part = data[from..(from + len).min(data.len())].to_vec();
            data.splice(from..from, part);
        }
    }
}

/// The length in front of a weight file's header, put right again: otherwise every mutation fails at the first check.
fn repair(name: &str, data: &mut [u8], before: usize) {
    if name == "safetensors"
        && let Some((prefix, rest)) = data.split_first_chunk_mut::<8>()
    {
        let data_bytes = before.min(rest.len());
        *prefix = ((rest.len() - data_bytes) as u64).to_le_bytes();
    }
}

fn data_bytes(data: &[u8]) -> usize {
    let header = data.first_chunk::<8>().map_or(0, |prefix| u64::from_le_bytes(*prefix));
    data.len().saturating_sub(8).saturating_sub(usize::try_from(header).unwrap_or(usize::MAX))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(which in 0..PARSERS.len(), data in prop::collection::vec(any::<u8>(), 0..600)) {
        let (name, driver) = PARSERS[which];
        drive(name, driver, &data);
    }

    #[test]
    fn mutated_files_never_panic(
        which in 0..PARSERS.len(),
        seed in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..6),
        repaired in any::<bool>(),
    ) {
        let (name, driver) = PARSERS[which];
        let seeds = files_below("corpus", name);
        let mut data = seeds[seed.index(seeds.len())].1.clone();
        let tail = data_bytes(&data);
        mutations.iter().for_each(|m| mutate(&mut data, m));
        if repaired {
            repair(name, &mut data, tail);
        }
        drive(name, driver, &data);
    }

    #[test]
    fn any_header_of_the_right_form_is_checked(
        tensors in prop::collection::vec((
            prop::sample::select(&["F32", "F16", "BF16", "F64", "I64", "I32", "U8", "BOOL", "F8_E4M3", "F4", "X"][..]),
            prop::collection::vec(prop_oneof![0..4u64, Just(1 << 40), Just(u64::MAX), any::<u64>()], 0..4),
            prop_oneof![0..40u64, any::<u64>()],
            prop_oneof![0..40u64, any::<u64>()],
        ), 0..5),
        data in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let entry = |(i, (dtype, shape, from, to)): (usize, &(&str, Vec<u64>, u64, u64))| {
            format!(r#""t{i}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{from},{to}]}}"#)
        };
        let entries: Vec<String> = tensors.iter().enumerate().map(entry).collect();
        let header = format!("{{{}}}", entries.join(","));
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
        drive("safetensors", kernels_tests::hostile::safetensors, &file);
    }

    #[test]
    fn any_value_of_a_configuration_is_checked(
        seed in any::<prop::sample::Index>(),
        key in any::<prop::sample::Index>(),
        value in prop_oneof![
            prop::sample::select(&["0", "-1", "1", "2", "3", "1000000000", "1e9", "0.5", "null", "[1,2]", "\"x\"", "{}", "1e400"][..])
                .prop_map(str::to_owned),
            any::<u64>().prop_map(|v| v.to_string()),
            any::<f64>().prop_map(|v| v.to_string()),
        ],
    ) {
        let seeds = files_below("corpus", "config");
        let mut json: serde_json::Value = serde_json::from_slice(&seeds[seed.index(seeds.len())].1).unwrap();
        let keys: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
        let Ok(value) = serde_json::from_str(&value) else { return Ok(()) };
        json[&keys[key.index(keys.len())]] = value;
        drive("config", kernels_tests::hostile::config, json.to_string().as_bytes());
    }
}

/// The message of a refusal.
fn refusal<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_wrong_configuration_is_refused_by_file_and_field() {
    let seed = |name: &str| std::fs::read_to_string(root().join("fuzz/corpus/config").join(name)).unwrap();
    let with = |text: &str, key: &str, value: &str| {
        let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
        json[key] = serde_json::from_str(value).unwrap();
        ConfigFile::from_value("config.json", json).unwrap()
    };
    let wan = [
        ("num_layers", "1000000000", "`num_layers`"),
        ("num_layers", "0", "`num_layers`"),
        ("num_attention_heads", "0", "`num_attention_heads`"),
        ("attention_head_dim", "33", "head size 33 is odd"),
        ("attention_head_dim", "1099511627776", "`attention_head_dim`"),
        ("ffn_dim", "-1", "`ffn_dim`"),
        ("ffn_dim", "\"512\"", "`ffn_dim`"),
        ("eps", "0", "`eps`"),
        ("patch_size", "[1, 2, 0]", "`patch_size`"),
        ("in_channels", "5", "5 input but 3 output channels"),
        ("rope_max_seq_len", "1e9", "`rope_max_seq_len`"),
        ("qk_norm", "[]", "`qk_norm`"),
    ];
    for (key, value, wanted) in wan {
        let text = refusal(WanConfig::from_config(&with(&seed("wan_diffusers.json"), key, value)));
        assert!(text.starts_with("config.json: ") && text.contains(wanted), "{key} {value}: {text}");
    }
    let original = seed("wan_original.json");
    for (key, value, wanted) in [("dim", "131072", "head"), ("num_heads", "0", "`num_heads`")] {
        let text = refusal(WanConfig::from_config(&with(&original, key, value)));
        assert!(text.contains(wanted), "{key} {value}: {text}");
    }
    for (key, value, wanted) in [
        ("num_layers", "1000000000", "`num_layers`"),
        ("num_heads", "0", "`num_heads`"),
        ("relative_attention_num_buckets", "3", "`relative_attention_num_buckets`"),
        ("vocab_size", "1099511627776", "`vocab_size`"),
        ("feed_forward_proj", "\"relu\"", "`feed_forward_proj`"),
    ] {
        let text = refusal(Umt5Config::from_config(&with(&seed("umt5.json"), key, value)));
        assert!(text.starts_with("config.json: ") && text.contains(wanted), "{key} {value}: {text}");
    }
    for (key, value, wanted) in
        [("frames", "0", "`frames`"), ("steps", "1e9", "`steps`"), ("fps", "-1", "`fps`")]
    {
        let text = refusal(ClipDefaults::from_config(&with(&seed("foveal.json"), key, value)));
        assert!(text.starts_with("config.json: ") && text.contains(wanted), "{key} {value}: {text}");
    }
    let mut large = with(&seed("foveal.json"), "frames", "4096");
    for key in ["height", "width"] {
        let mut json = serde_json::json!({"frames": 4096});
        json["height"] = 4096.into();
        json[key] = 4096.into();
        large = ConfigFile::from_value("config.json", json).unwrap();
    }
    assert!(refusal(ClipDefaults::from_config(&large)).contains("4096 × 4096"));
}

#[test]
fn a_quoted_value_does_not_fill_the_screen() {
    let long = "x".repeat(100_000);
    let text = refusal(WanConfig::from_bytes("c.json", format!(r#"{{"_class_name":"{long}"}}"#).as_bytes()));
    assert!(text.len() < 2000, "{} bytes", text.len());
    let text = refusal(WeightStore::from_bytes("m", weight_file(&long)).unwrap().load("absent", &[1]));
    assert!(text.len() < 2000 && text.contains("absent"), "{} bytes", text.len());
}

#[cfg(unix)]
#[test]
fn links_pipes_and_folders_in_the_place_of_files_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new("links");
    let at = |name: &str| folder.path().join(name);
    let index = r#"{"weight_map":{"a":"m-1.safetensors"}}"#;
    let named = |outcome: Result<()>, file: &str| {
        let text = refusal(outcome);
        assert!(text.contains(file), "{text}");
    };
    // A link to itself, and two that point at each other.
    symlink(at("config.json"), at("config.json")).unwrap();
    named(ConfigFile::open(folder.path()).map(drop), "config.json");
    symlink(at("two.safetensors"), at("one.safetensors")).unwrap();
    symlink(at("one.safetensors"), at("two.safetensors")).unwrap();
    named(WeightStore::open(at("one.safetensors")).map(drop), "one.safetensors");
    folder.put("model.safetensors.index.json", index.as_bytes());
    symlink(at("m-1.safetensors"), at("m-1.safetensors")).unwrap();
    named(WeightStore::open(folder.path()).map(drop), "m-1.safetensors");
    // A device that never ends, and a folder.
    std::fs::remove_file(at("config.json")).unwrap();
    symlink("/dev/zero", at("config.json")).unwrap();
    named(ConfigFile::open(folder.path()).map(drop), "config.json");
    symlink("/dev/zero", at("tokenizer.json")).unwrap();
    named(Tokenizer::from_folder(folder.path()).map(drop), "tokenizer.json");
    symlink("/dev/zero", at("case.json")).unwrap();
    named(kernels_tests::golden::case::Case::open(folder.path()).map(drop), "case.json");
    std::fs::remove_file(at("m-1.safetensors")).unwrap();
    symlink("/dev/zero", at("m-1.safetensors")).unwrap();
    named(WeightStore::open(folder.path()).map(drop), "m-1.safetensors");
    std::fs::remove_file(at("model.safetensors.index.json")).unwrap();
    symlink("/dev/zero", at("model.safetensors.index.json")).unwrap();
    named(WeightStore::open(folder.path()).map(drop), "model.safetensors.index.json");
    std::fs::create_dir(at("folder.safetensors")).unwrap();
    let inner = WeightStore::open(at("folder.safetensors")).map(drop);
    named(inner, "folder.safetensors");
    // Through a link to a good file, as download caches lay them, everything opens.
    folder.put("blob", &weight_file("a"));
    std::fs::remove_file(at("m-1.safetensors")).unwrap();
    symlink(at("blob"), at("m-1.safetensors")).unwrap();
    assert!(WeightStore::open(at("m-1.safetensors")).unwrap().contains("a"));
}

/// A header of a few bytes may not make the sound library reserve gigabytes, or end the process.
#[test]
fn sounds_that_once_broke_the_decoder_are_refused_for_what_is_wrong() {
    without_caught_panics();
    for (file, reason) in [
        ("vorbis_codebooks_of_gigabytes", "codebooks are larger"),
        ("vorbis_codebook_of_32_dimensions", "headers contradict themselves"),
        ("wav_of_32770_channels", "(wav, aiff, caf, mp3, flac, ogg Vorbis, m4a and mkv are read)"),
    ] {
        let bytes = std::fs::read(root().join("fuzz/regressions/sound").join(file)).unwrap();
        let mut text = String::new();
        let peak = peak_of(|| text = refusal(foveal::pipelines::sounds::Sound::decode(bytes, "beat")));
        assert!(text.starts_with("beat: ") && text.contains(reason), "{file}: {text}");
        assert!(peak < 4 << 20, "{file}: {peak} bytes");
    }
}

#[test]
fn a_golden_case_stays_in_its_folder() {
    for outside in ["../model", "/etc", "a/../../b"] {
        let json =
            format!(r#"{{"name":"n","op":"o","tolerance":{{}},"params":{{"model_folder":"{outside}"}}}}"#);
        let tensors = || WeightStore::from_bytes("t", weight_file("out/a"));
        let case =
            kernels_tests::golden::case::Case::from_json("dir".as_ref(), json.as_bytes(), tensors).unwrap();
        let outcome = case.model_folder();
        assert!(matches!(&outcome, Err(Error::File { .. })), "{outcome:?}");
        assert!(refusal(outcome).contains("not below"), "{outside}");
    }
}

#[test]
fn counted_memory_is_the_threads_own() {
    let peak = peak_of(|| drop(std::hint::black_box(vec![1u8; 3 << 20])));
    assert!((3 << 20..4 << 20).contains(&peak), "{peak}");
    let peak = peak_of(|| {
        std::thread::spawn(|| drop(std::hint::black_box(vec![1u8; 3 << 20]))).join().unwrap();
    });
    assert!(peak < 1 << 20, "{peak}");
}
