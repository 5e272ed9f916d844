//! What a parser owes to bytes that nobody vouches for: no panic, no allocation beyond a multiple of what was given, and
//! an error that names the file.
//!
//! One function a parser, shared by the property tests in `tests/hostile.rs` and by the fuzzer's targets in `fuzz/`.
//! Each takes arbitrary bytes, drives the parser and everything that a caller does next with what it accepts, and
//! panics where a promise is broken.

use crate::golden::case::Case;
use foveal::models::bert::BertConfig;
use foveal::models::tokenizer::{Encoding, Tokenizer, WordMatch, clean_prompt};
use foveal::models::umt5::Umt5Config;
use foveal::models::umt5::keys::Umt5Param;
use foveal::models::wan::WanConfig;
use foveal::models::wan::keys::WanParam;
use foveal::pipelines::schedules::SchedulerConfig;
use foveal::pipelines::sentiment::data::Dataset;
use foveal::pipelines::sentiment::log::ScoreLog;
use foveal::pipelines::sounds::{Recording, onset_envelope, onsets};
use foveal::pipelines::text_to_video::ClipDefaults;
use foveal::pipelines::text_to_video::audio_mask::{AudioMaskOptions, audio_mask, audio_mask_in_time};
use foveal::pipelines::text_to_video::beat_curve::beat_curve;
use foveal::pipelines::text_to_video::curve::{TimeAxis, TimingCurve};
use foveal::pipelines::text_to_video::plan::{Plan, PlanFormat};
use foveal::pipelines::text_to_video::temporal_control::GuidedSteps;
use foveal::weights::{ConfigFile, WeightStore};
use foveal::{Error, Result};
use std::path::{Path, PathBuf};

/// Stands for the file in messages.
const NAME: &str = "hostile-file";

/// A driver of one parser.
pub type Driver = fn(&[u8]);

/// Every parser with the name of its fuzz target.
pub const PARSERS: &[(&str, Driver)] = &[
    ("safetensors", safetensors),
    ("shard_index", shard_index),
    ("config", config),
    ("tokenizer", tokenizer),
    ("vocabulary", vocabulary),
    ("curve", curve),
    ("guided_steps", guided_steps),
    ("prompt", prompt),
    ("golden_case", golden_case),
    ("plan", plan),
    ("sound", sound),
    ("dataset", dataset),
    ("scores", scores),
];

/// Requires that a refusal is of the kinds that a user's file deserves and says which file it was.
fn refused(error: &Error, file: &str) {
    let text = error.to_string();
    assert!(
        matches!(
            error,
            Error::File { .. } | Error::Weight { .. } | Error::Io { .. } | Error::NonFinite { .. }
        ),
        "an error of another kind: {error:?}"
    );
    assert!(text.contains(file), "the error does not name {file}: {text}");
    assert!(text.len() < 4096, "a message of {} bytes", text.len());
}

fn read_all(store: &WeightStore) {
    let names: Vec<String> = store.names().map(str::to_owned).collect();
    for name in &names {
        let shape = store.shape(name).unwrap_or_else(|e| panic!("{e}"));
        let outcomes: [Result<()>; 4] = [
            store.load_any(name).map(|t| assert_eq!(t.shape(), &shape)),
            store.load_u32(name).map(drop),
            store.load_rows(name, shape.dims(), &[0, u32::MAX]).map(drop),
            store.require_shape(name, &[3, 1, 4]),
        ];
        outcomes.iter().filter_map(|o| o.as_ref().err()).for_each(|e| refused(e, NAME));
        // Of what has a scale the bytes alone are refused.
        if let Err(error) = store.bytes(name) {
            refused(&error, NAME);
            let says = |n: &String| {
                ["scale_weight", "weight_scale", "scaled_fp8"].iter().any(|end| n.ends_with(end))
            };
            assert!(names.iter().any(says), "there is no scale in the file: {error}");
        }
    }
}

/// A weight file.
pub fn safetensors(data: &[u8]) {
    match WeightStore::from_bytes(NAME, data.to_vec()) {
        Ok(store) => {
            read_all(&store);
            let (wan, umt5) = (WanConfig::infer(&store).map(drop), Umt5Config::infer(&store).map(drop));
            let outcomes = [store.unwrapped().map(drop), wan, umt5];
            outcomes.iter().filter_map(|o| o.as_ref().err()).for_each(|e| refused(e, NAME));
        }
        Err(error) => refused(&error, NAME),
    }
    // The same file as one of two shards: names may meet.
    let shards = vec![(NAME.to_owned(), data.to_vec()), (NAME.to_owned(), weight_file("a"))];
    if let Err(error) = WeightStore::from_byte_shards(NAME, shards) {
        refused(&error, NAME);
    }
}

/// A good weight file with one tensor of two values.
pub fn weight_file(tensor: &str) -> Vec<u8> {
    let header = format!(r#"{{"{tensor}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#);
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat()
}

/// A folder that goes away with its last use.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder of a name that no other process or thread has.
    pub fn new(purpose: &str) -> Self {
        let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "-");
        let path = std::env::temp_dir().join(format!("foveal-{purpose}-{}-{thread}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it.
    pub fn put(&self, name: &str, bytes: &[u8]) -> &Self {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The index of a sharded folder that has the shards `m-1.safetensors` (tensor `a`) and `m-2.safetensors` (`b`).
pub fn shard_index(data: &[u8]) {
    thread_local! {
        static FOLDER: Folder = {
            let folder = Folder::new("index");
            folder.put("m-1.safetensors", &weight_file("a")).put("m-2.safetensors", &weight_file("b"));
            folder
        };
    }
    FOLDER.with(|folder| {
        folder.put("model.safetensors.index.json", data);
        match WeightStore::open(folder.path()) {
            Ok(store) => {
                // Nothing but the two tensors can come out, whatever the index says.
                let names: Vec<&str> = store.names().collect();
                assert!(!names.is_empty() && names.iter().all(|n| ["a", "b"].contains(n)), "{names:?}");
                for name in names {
                    assert!(store.load(name, &[2]).is_ok());
                }
            }
            Err(error) => refused(&error, &folder.path().display().to_string()),
        }
    });
}

/// `config.json` of either model, and `foveal.json`; what is accepted is asked for everything that is sized by it.
pub fn config(data: &[u8]) {
    let file = match ConfigFile::from_bytes(NAME, data) {
        Ok(file) => file,
        Err(error) => return refused(&error, NAME),
    };
    let fits = |shape: Vec<usize>| {
        let product = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        assert!(product.is_some_and(|n| (1..=1 << 44).contains(&n)), "a parameter of shape {shape:?}");
    };
    match WanConfig::from_config(&file) {
        Ok(config) => {
            assert_eq!(config.head_dim() * config.num_heads, config.dim);
            assert_eq!(2 * config.rope_pairs().iter().sum::<usize>(), config.head_dim());
            assert!(config.rope_max_seq_len.checked_mul(config.head_dim()).is_some_and(|n| n <= 1 << 32));
            fits(vec![config.patch_values()]);
            for size in [0, 1, 64, 4096, usize::MAX] {
                let _ = config.grid(size, size, size);
            }
            let params = WanParam::all(&config);
            assert!(params.len() <= 15 + 27 * 1024);
            params.iter().take(64).for_each(|param| fits(param.shape(&config)));
        }
        Err(error) => refused(&error, NAME),
    }
    match Umt5Config::from_config(&file) {
        Ok(config) => {
            assert_eq!(config.d_kv * config.num_heads, config.d_attn);
            let params = Umt5Param::all(&config);
            assert!(params.len() <= 2 + 10 * 1024);
            params.iter().take(32).for_each(|param| fits(param.shape(&config)));
        }
        Err(error) => refused(&error, NAME),
    }
    match ClipDefaults::from_config(&file) {
        Ok(defaults) => {
            let pixels = defaults.size.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            assert!(pixels.is_some_and(|n| (1..=1 << 28).contains(&n)), "{:?}", defaults.size);
            if let Err(error) = TimeAxis::new(defaults.size[0], defaults.frames_per_latent, defaults.fps) {
                panic!("defaults without a time axis: {error}");
            }
        }
        Err(error) => refused(&error, NAME),
    }
    match SchedulerConfig::from_config(&file) {
        Ok(config) => assert!(config.shift > 0.0 && config.shift <= 100.0, "{config:?}"),
        Err(error) => refused(&error, NAME),
    }
    if let Err(error) = BertConfig::from_config(&file) {
        refused(&error, NAME);
    }
}

/// A file of scores, in either format: whatever it holds, opening it changes nothing.
pub fn scores(data: &[u8]) {
    thread_local! {
        static FOLDER: Folder = Folder::new("scores");
    }
    FOLDER.with(|folder| {
        for name in ["scores.jsonl", "scores.csv"] {
            folder.put(name, data);
            let path = folder.path().join(name);
            match ScoreLog::open(&path) {
                Ok(log) => assert!(log.unscored() <= log.len() && log.len() <= data.len()),
                Err(error) => refused(&error, name),
            }
            assert_eq!(std::fs::read(&path).ok().as_deref(), Some(data), "{name} was changed");
        }
    });
}

/// BERT's `vocab.txt`.
pub fn vocabulary(data: &[u8]) {
    thread_local! {
        static FOLDER: Folder = Folder::new("vocabulary");
    }
    FOLDER.with(|folder| {
        folder.put("vocab.txt", data);
        match Tokenizer::from_folder(folder.path()) {
            Ok(tokenizer) => match tokenizer.encode("a red square [SEP] \u{6771}") {
                Ok(encoding) => {
                    let lines = String::from_utf8_lossy(data).lines().count();
                    assert!(encoding.ids.len() >= 2 && encoding.ids.last() == Some(&tokenizer.eos()));
                    assert!(encoding.ids.iter().all(|&id| (id as usize) < lines), "{:?}", encoding.ids);
                }
                Err(error) => assert!(matches!(error, Error::Input { .. }), "{error:?}"),
            },
            Err(error) => refused(&error, "vocab.txt"),
        }
    });
}

/// `tokenizer.json`, then after a zero byte `tokenizer_config.json`.
pub fn tokenizer(data: &[u8]) {
    let mut parts = data.splitn(2, |&b| b == 0);
    let (json, config) = (parts.next().unwrap_or_default(), parts.next());
    match Tokenizer::from_bytes(NAME, json, config) {
        Ok(tokenizer) => {
            for text in ["", "a red square and a blue cross", "\u{1f3b5} \u{e9}\u{301} <unk></s> 東京"] {
                match tokenizer.encode(text) {
                    Ok(encoding) => {
                        assert!(encoding.ids.len() <= tokenizer.max_length());
                        assert_eq!(encoding.ids.len(), encoding.offsets.len());
                        assert_eq!(encoding.ids.last(), Some(&tokenizer.eos()));
                        let _ = encoding.token_indices("red square", WordMatch::All);
                    }
                    Err(error) => assert!(matches!(error, Error::Input { .. }), "{error:?}"),
                }
            }
        }
        Err(error) => refused(&error, NAME),
    }
}

/// The one-line form of a timing curve, on a short and a long axis.
pub fn curve(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for (frames, stride, fps) in [(1, 1, 1e-3), (8, 1, 4.0), (21, 4, 16.0)] {
        let axis = TimeAxis::new(frames, stride, fps).unwrap_or_else(|e| panic!("{e}"));
        match TimingCurve::parse(text, &axis) {
            Ok(curve) => {
                assert_eq!(curve.frames(), frames, "{text:?}");
                assert!(curve.values().iter().all(|v| (0.0..=1.0).contains(v)), "{text:?}: {curve:?}");
            }
            Err(error) => {
                assert!(matches!(error, Error::Input { .. }), "{error:?}");
                assert!(error.to_string().len() < 4096, "a message of {} bytes", error.to_string().len());
            }
        }
    }
}

/// Denoising steps as they are typed: what is accepted is read again as it is written.
pub fn guided_steps(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<GuidedSteps>() {
        Ok(steps) => {
            assert!(
                steps.iter().is_sorted_by(|a, b| a < b) && steps.iter().all(|step| step < 1000),
                "{text:?}"
            );
            let again = steps.to_string().parse::<GuidedSteps>().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(again, steps, "{text:?}");
        }
        Err(error) => {
            assert!(matches!(error, Error::Input { .. }), "{error:?}");
            assert!(error.to_string().len() < 4096, "a message of {} bytes", error.to_string().len());
        }
    }
}

/// A prompt, then after a zero byte a phrase of it.
pub fn prompt(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, phrase) = text.split_once('\0').unwrap_or((&text, "a"));
    let cleaned = clean_prompt(text);
    // Composed characters that Unicode writes apart take up to three times the bytes.
    assert!(cleaned.len() <= 3 * text.len() && !cleaned.contains("  ") && cleaned.trim() == cleaned);
    let bounds: Vec<usize> = cleaned.char_indices().map(|(at, _)| at).chain([cleaned.len()]).collect();
    let offsets: Vec<(usize, usize)> = bounds.windows(2).map(|w| (w[0], w[1])).collect();
    let kept = cleaned.len();
    let encoding = Encoding { ids: vec![0; offsets.len()], offsets, text: cleaned, kept };
    for which in [WordMatch::All, WordMatch::Nth(1), WordMatch::Released] {
        match encoding.token_indices(phrase, which) {
            Ok(found) => {
                assert!(!found.is_empty() && found.is_sorted_by(|a, b| a < b));
                assert!(found.iter().all(|&i| i < encoding.ids.len()));
            }
            Err(error) => assert!(matches!(error, Error::Input { .. }), "{error:?}"),
        }
    }
}

/// `case.json` of a golden case beside a good tensor file.
pub fn golden_case(data: &[u8]) {
    let tensors = || WeightStore::from_bytes(NAME, weight_file("out/a"));
    let case = match Case::from_json(Path::new(NAME), data, tensors) {
        Ok(case) => case,
        Err(error) => return refused(&error, NAME),
    };
    assert!(!case.name.is_empty() && !case.op.is_empty());
    let outcomes: [Result<()>; 8] = [
        case.expected("a").map(drop),
        case.usize("frames").map(drop),
        case.f64("tau").map(drop),
        case.usizes("pearson_frames").map(drop),
        case.f64s("weights.pearson").map(drop),
        case.usize_lists("groups").map(drop),
        case.config("model").map(drop),
        case.model_folder().map(|folder| assert!(folder.starts_with(NAME), "{}", folder.display())),
    ];
    outcomes.iter().filter_map(|o| o.as_ref().err()).for_each(|e| refused(e, NAME));
}

/// A clip's timing, read as TOML and as JSON; it may name the sound `beat.wav`, which stands beside it.
pub fn plan(data: &[u8]) {
    thread_local! {
        static FOLDER: Folder = {
            let folder = Folder::new("plan");
            folder.put("beat.wav", &wav(1_000, 1, &[0, 0, 0, 0, 9_000, -9_000, 500, -500].repeat(40)));
            folder
        };
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = FOLDER.with(|folder| folder.path().join(NAME));
    let axis = TimeAxis::new(8, 4, 16.0).unwrap_or_else(|e| panic!("{e}"));
    for format in [PlanFormat::Toml, PlanFormat::Json] {
        let plan = match Plan::parse(text, format, &path) {
            Ok(plan) => plan,
            Err(error) => {
                refused(&error, NAME);
                continue;
            }
        };
        assert!(plan.check().is_ok(), "{plan:?}");
        plan.words.iter().for_each(|word| drop(word.curve.to_string()));
        match plan.timed_words(&axis) {
            Ok(words) => {
                assert_eq!(words.len(), plan.words.len());
                for word in words {
                    assert_eq!(word.curve.frames(), axis.latent_frames());
                    assert!(word.curve.values().iter().all(|v| (0.0..=1.0).contains(v)), "{word:?}");
                }
            }
            Err(error) => refused(&error, NAME),
        }
    }
}

/// A wav file of 16-bit samples, channels interleaved.
pub fn wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let (data, frame) = (2 * samples.len() as u32, 2 * channels);
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(36 + data).to_le_bytes(),
        b"WAVEfmt ",
        &16u32.to_le_bytes(),
        &1u16.to_le_bytes(),
        &channels.to_le_bytes(),
        &rate.to_le_bytes(),
        &(rate * u32::from(frame)).to_le_bytes(),
        &frame.to_le_bytes(),
        &16u16.to_le_bytes(),
        b"data",
        &data.to_le_bytes(),
        &samples.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<u8>>(),
    ];
    fields.concat()
}

/// A sound file of any format, told apart by its bytes, and the curves that it makes.
pub fn sound(data: &[u8]) {
    /// Samples that are looked at: what the rest costs is time only.
    const HEARD: usize = 1 << 14;
    // A part of it, too; the two may differ in what is refused.
    match Recording::decode(data.to_vec(), NAME, Some(0.1..0.3)) {
        Ok(part) => assert!(part.seconds() < 0.2 + 1e-3, "{} s", part.seconds()),
        Err(error) => refused(&error, NAME),
    }
    let mut recording = match Recording::decode(data.to_vec(), NAME, None) {
        Ok(recording) => recording,
        Err(error) => return refused(&error, NAME),
    };
    let (rate, seconds) = (recording.rate, recording.seconds());
    assert!((1_000..=192_000).contains(&rate) && seconds <= 600.0, "{seconds} s");
    recording.check().unwrap_or_else(|e| panic!("{e}"));
    assert!(recording.warnings.len() < 8 && recording.warnings.iter().all(|w| w.len() < 4096));
    recording.channels.iter_mut().for_each(|c| c.truncate(HEARD));
    recording.channels.truncate(2);
    let found = onsets(&recording).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        found.iter().all(|o| o.strength > 0.0 && (0.0..=recording.seconds()).contains(&o.seconds)),
        "{found:?}"
    );
    let sound = recording.mono();
    let envelope = onset_envelope(&sound).unwrap_or_else(|e| panic!("{} samples: {e}", sound.samples.len()));
    assert!(envelope.values.iter().all(|v| v.is_finite() && *v >= 0.0));
    let axis = TimeAxis::new(8, 1, 4.0).unwrap_or_else(|e| panic!("{e}"));
    let options = AudioMaskOptions { frames: 8, ..AudioMaskOptions::default() };
    let masks = [
        audio_mask(&envelope.values, &options),
        audio_mask_in_time(&envelope.values, envelope.rate, 0.0, &axis, &options),
    ];
    let times: Vec<(f64, f32)> = found.iter().map(|o| (o.seconds, o.strength)).collect();
    match beat_curve(&times, 0.0, &axis) {
        Ok(curve) => assert!(curve.values().contains(&1.0), "{curve:?}"),
        Err(error) => assert!(matches!(error, Error::Input { .. }), "{error:?}"),
    }
    for mask in masks {
        match mask {
            Ok(found) => assert!(found.mask.iter().all(|v| (0.0..=1.0).contains(v)), "{found:?}"),
            Err(error) => assert!(matches!(error, Error::Input { .. }), "{error:?}"),
        }
    }
}

/// The description of a data set, beside features of eight frames of two modalities, two and three wide.
pub fn dataset(data: &[u8]) {
    let header = r#"{"audio":{"dtype":"F32","shape":[8,2],"data_offsets":[0,64]},"vision":{"dtype":"F32","shape":[8,3],"data_offsets":[64,160]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 160]].concat();
    let features = WeightStore::from_bytes(NAME, file).unwrap_or_else(|e| panic!("{e}"));
    match Dataset::from_parts(Path::new(NAME), data, &features) {
        Err(error) => refused(&error, NAME),
        Ok(data) => {
            let [low, high] = data.label_range;
            for (split, clips) in &data.splits {
                if let Err(error) = data.split(split) {
                    refused(&error, NAME);
                }
                for clip in clips {
                    let [audio, vision] = clip.frames();
                    assert_eq!(data.audio(clip).len(), audio * data.audio_width);
                    assert_eq!(data.vision(clip).len(), vision * data.vision_width);
                    assert!(!clip.text.trim().is_empty());
                    assert!(clip.label.is_none_or(|l| low <= l && l <= high));
                }
                if let Err(error) = data.labels(clips) {
                    refused(&error, NAME);
                }
            }
        }
    }
}
