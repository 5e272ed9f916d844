//! From a sound to a score: speech features against librosa and Praat, and against the documentation; a model that is
//! trained on them, and what refuses to mix with it. The sentence is spoken by espeak-ng, the text encoder is a random one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::block_on;
use foveal::models::dashfusion::DashFusionConfig;
use foveal::pipelines::sentiment::data::{DESCRIPTION, Dataset, FEATURES};
use foveal::pipelines::sentiment::metrics::Convention;
use foveal::pipelines::sentiment::{
    DatasetBuilder, Description, FeatureSet, NewClip, SentimentModel, TrainOptions, Trainer,
};
use foveal::pipelines::sounds::Sound;
use foveal::pipelines::sounds::features::{WIDTH, columns, open_speech, speech_features};
use foveal::{Context, Result};
use kernels_tests::golden::new_context;
use kernels_tests::{root, scratch, tiny_dashfusion, tiny_text_encoder};
use std::ops::ControlFlow;
use std::path::PathBuf;

fn folder() -> PathBuf {
    root().join("kernels-tests/training/speech")
}

fn sentence() -> Sound {
    open_speech(folder().join("speech.flac")).unwrap().mono()
}

#[test]
fn a_sentence_has_the_numbers_of_librosa_and_praat() {
    let reference = std::fs::read(folder().join("reference.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_slice(&reference).unwrap();
    let found = speech_features(&sentence()).unwrap();
    assert_eq!(found.rows() as u64, reference["rows"].as_u64().unwrap());
    let level = found.column("level").unwrap();
    let voicing = found.column("voicing").unwrap();
    let compared = reference["columns"].as_object().unwrap();
    assert_eq!(compared.len(), 8 + 20 + 12 + 3);
    for (name, expected) in compared {
        let expected: Vec<f64> = expected.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let values = found.column(name).unwrap();
        let mut counted = 0;
        for (row, (value, expected)) in values.iter().zip(&expected).enumerate() {
            let tolerance = match name.as_str() {
                // librosa counts samples within the noise as positive: where a window's middle is loud there are next to none.
                "zero_crossings" if level[row] > -35.0 => 63.0,
                // Praat filters the whole sentence, the features each window; it interpolates by a sine, they by a parabola.
                // A row whose peak is as high as the threshold may be taken either way.
                "pitch" if level[row] > -60.0 && (voicing[row] - 0.45).abs() > 0.05 => 0.03,
                "voicing" if *expected > 0.0 && level[row] > -60.0 => 0.02,
                "zero_crossings" | "pitch" | "voicing" => continue,
                // The record's four digits, and transforms in f32.
                _ => 5e-4 + 1e-5 * expected.abs(),
            };
            counted += 1;
            let apart = (f64::from(*value) - expected).abs();
            assert!(apart <= tolerance, "{name}, row {row}: {value}, the reference has {expected}");
        }
        assert!(counted > found.rows() / 3, "{name}: {counted} rows compared");
    }
    // What was compared above were pitches, and not zeros alone.
    let praat = compared["pitch"].as_array().unwrap();
    let pitch = found.column("pitch").unwrap();
    let voiced = pitch.iter().zip(praat).filter(|(p, e)| **p > 0.0 && e.as_f64().unwrap() > 0.0).count();
    assert!(voiced >= 30, "{voiced}");
}

#[test]
fn the_documentation_has_every_column_with_its_unit() {
    let page = std::fs::read_to_string(root().join("docs/sentiment.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    for column in columns() {
        // Bands and coefficients have a row a kind.
        let name = match column
            .name
            .split_once("_0")
            .or(column.name.split_once("_1"))
            .or(column.name.split_once("_2"))
        {
            Some((kind @ ("mel" | "mfcc"), _)) => format!("`{kind}_01` …"),
            _ => format!("`{}`", column.name),
        };
        let row = rows.iter().find(|row| row[1].starts_with(&name));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(row[2], column.unit, "{name}");
        assert!(row[3].len() > 10, "{name} has no formula");
    }
}

/// A model for the features of sounds without vision.
fn sizes() -> DashFusionConfig {
    DashFusionConfig { audio_width: WIDTH, vision_width: 1, audio_frames: 70, ..tiny_dashfusion() }
}

fn described(config: DashFusionConfig, data: &Dataset) -> Result<Description> {
    Description::new(config, Convention::Mosi, [-3.0, 3.0]).for_data(data)
}

fn fresh(context: &Context, description: Description) -> Result<SentimentModel> {
    SentimentModel::fresh(context, description, &tiny_text_encoder(), 3)
}

/// The sentence at another pitch and speed: its samples at another rate.
fn spoken(rate: u32) -> Sound {
    Sound { rate, ..sentence() }
}

fn clips() -> DatasetBuilder {
    let mut builder = DatasetBuilder::new("spoken", [-3.0, 3.0], FeatureSet::speech(), 1).unwrap();
    for (i, rate) in (14_000..19_000).step_by(500).enumerate() {
        let found = speech_features(&spoken(rate)).unwrap();
        let split = ["train", "train", "train", "valid", "test"][i % 5];
        let (id, label) = (format!("at {rate}"), Some(i as f32 * 0.5 - 2.0));
        let audio = if i == 5 { &[][..] } else { &found.values };
        let clip = NewClip { id: &id, text: "That was fine.", label, audio, vision: &[] };
        builder.add(split, &clip).unwrap();
    }
    builder
}

#[test]
fn a_model_trained_on_sounds_scores_a_sound_as_its_data_set() {
    let context = new_context().unwrap();
    let folder = scratch("speech_trained");
    let built = clips().build();
    built.save(&folder).unwrap();
    let data = Dataset::open(&folder).unwrap();
    assert_eq!(data.audio_features, Some(FeatureSet::speech()));
    for (split, clips) in &built.splits {
        assert_eq!(data.split(split).unwrap(), clips);
        assert!(clips.iter().all(|clip| data.audio(clip) == built.audio(clip)), "{split}");
    }

    let description = described(sizes(), &data).unwrap();
    let scale = description.audio_scale.clone().unwrap();
    let rows: Vec<f32> = data.split("train").unwrap().iter().flat_map(|c| data.audio(c)).copied().collect();
    let mean = rows.iter().step_by(WIDTH).sum::<f32>() / (rows.len() / WIDTH) as f32;
    assert!((scale.mean[0] - mean).abs() < 1e-2, "{} is not the training clips' mean {mean}", scale.mean[0]);

    let options = TrainOptions {
        epochs: 2,
        batch: 3,
        part: 3,
        learning_rate: 1e-3,
        warmup_epochs: 1,
        contrastive_weight: 0.0,
        ..TrainOptions::default()
    };
    let model = fresh(&context, description).unwrap();
    let mut run = block_on(Trainer::new(model, data.clone(), options)).unwrap();
    let result = block_on(run.run(|_| ControlFlow::Continue(()))).unwrap();
    assert!(result.history.iter().all(|epoch| epoch.train_mse.is_finite()) && result.steps == 4);
    let saved = folder.join("model");
    block_on(run.model.save(&saved, false)).unwrap();
    let opened = SentimentModel::open(&context, &saved).unwrap();
    assert_eq!(opened.description.audio_scale, Some(scale));

    let clip = &data.split("test").unwrap()[0];
    let by_data = block_on(opened.score_batch(&data, &[clip])).unwrap();
    let rate = clip.id.trim_start_matches("at ").parse().unwrap();
    let by_sound = block_on(opened.score_sound(&clip.id, &clip.text, &spoken(rate))).unwrap();
    assert_eq!(by_sound, by_data[0]);
    assert_eq!(by_sound.missing, ["vision"]);
    // The voice counts, and so do the words.
    let other = block_on(opened.score_sound("other", &clip.text, &spoken(rate + 3_000))).unwrap();
    let words = block_on(opened.score_sound("words", "A dull film.", &spoken(rate))).unwrap();
    assert!(other.score != by_sound.score && words.score != by_sound.score);
    // Silence and a single sample have scores.
    for samples in [vec![0.0; 16_000], vec![0.5]] {
        let score = block_on(opened.score_sound("short", "Fine.", &Sound { samples, rate: 16_000 })).unwrap();
        assert!(score.score.is_finite());
    }
    // Seventy rows are positions for less than 2.8 s.
    let sound = |count| Sound { samples: vec![0.1; count], rate: 8_000 };
    block_on(opened.score_sound("just", "Fine.", &sound(22_399))).unwrap();
    let error = block_on(opened.score_sound("long\n", "Fine.", &sound(22_400))).unwrap_err().to_string();
    let said =
        "clip `long\\n`: 2.80 s of sound are 71 rows; the model has positions for 70, sounds below 2.80 s";
    assert_eq!(error, said);
    assert!(block_on(opened.score_sound("x", " ", &sound(9))).unwrap_err().to_string().contains("no text"));
}

#[test]
fn other_features_are_refused_by_name() {
    let context = new_context().unwrap();
    let data = clips().build();
    let unnamed = Description::new(sizes(), Convention::Mosi, [-3.0, 3.0]);
    let without = fresh(&context, unnamed.clone()).unwrap();
    let error = |outcome: Result<foveal::pipelines::sentiment::Score>| outcome.unwrap_err().to_string();
    let scored = |model: &SentimentModel| block_on(model.score_sound("x", "Fine.", &sentence()));
    let said = "audio features: the model was trained on features without a name (47 columns); of a sound \
                `foveal-speech` version 1 (47 columns) can be made";
    assert_eq!(error(scored(&without)), said);
    let clip = &data.split("test").unwrap()[0];
    let found = block_on(without.score_batch(&data, &[clip])).unwrap_err().to_string();
    let said = "audio features: the data set has `foveal-speech` version 1 (47 columns), the model features \
                without a name (47 columns)";
    assert_eq!(found, said);
    assert_eq!(
        block_on(Trainer::new(without, data.clone(), TrainOptions::default())).err().unwrap().to_string(),
        said
    );

    let mut description = described(sizes(), &data).unwrap();
    description.audio_scale.as_mut().unwrap().features.version = 2;
    let newer = fresh(&context, description.clone()).unwrap();
    assert!(error(scored(&newer)).contains("`foveal-speech` version 2 (47 columns)"));
    let found = block_on(newer.score_batch(&data, &[clip])).unwrap_err().to_string();
    assert!(found.contains("the model `foveal-speech` version 2"), "{found}");
    description.audio_scale.as_mut().unwrap().mean.pop();
    let broken = fresh(&context, description).err().unwrap().to_string();
    assert!(broken.contains("46 means for 47 columns"), "{broken}");
}

#[test]
fn clips_that_make_no_data_set_are_refused_by_name() {
    let new = |columns: &[&str], range, vision| {
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        DatasetBuilder::new("mine", range, FeatureSet { name: "mine".into(), version: 1, columns }, vision)
    };
    let error = |outcome: Result<DatasetBuilder>| outcome.unwrap_err().to_string();
    assert!(error(new(&["a"], [1.0, 1.0], 1)).contains("label range: 1..1"));
    assert!(error(new(&["a"], [f32::NAN, 1.0], 1)).contains("label range"));
    assert!(error(new(&[], [0.0, 1.0], 1)).contains("audio: rows without columns"));
    assert!(error(new(&["a"], [0.0, 1.0], 0)).contains("vision: rows without columns"));
    assert!(error(new(&["a", "a"], [0.0, 1.0], 1)).contains("`a` comes twice"));

    let mut builder = new(&["a", "b"], [0.0, 1.0], 3).unwrap();
    let good = NewClip { id: "one", text: "Fine.", label: Some(1.0), audio: &[0.0; 4], vision: &[0.0; 3] };
    builder.add("train", &good).unwrap();
    for (clip, said) in [
        (good, "clip `one`: its id comes twice"),
        (NewClip { id: "two", text: "\t", ..good }, "clip `two`: it has no text"),
        (NewClip { id: "two", label: Some(1.5), ..good }, "clip `two`: label 1.5 is outside 0..1"),
        (NewClip { id: "two", audio: &[0.0; 3], ..good }, "3 values of audio are no whole rows of 2"),
        (NewClip { id: "two", vision: &[0.0; 4], ..good }, "4 values of vision are no whole rows of 3"),
        (
            NewClip { id: "two", audio: &[0.0, f32::NAN], ..good },
            "audio of clip `two` holds a non-finite value",
        ),
    ] {
        let error = builder.add("train", &clip).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    // What was refused has left nothing.
    builder.add("train", &NewClip { id: "two", label: None, ..good }).unwrap();
    let folder = scratch("speech_built");
    builder.build().save(&folder).unwrap();
    let data = Dataset::open(&folder).unwrap();
    assert_eq!(data.split("train").unwrap().iter().map(|c| c.frames()).collect::<Vec<_>>(), [[2, 1]; 2]);
    // Names of columns that are not those of the features.
    let path = folder.join(DESCRIPTION);
    let json = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, json.replace("[\"a\",\"b\"]", "[\"a\"]")).unwrap();
    let error = Dataset::open(&folder).unwrap_err().to_string();
    assert!(error.contains("audio_features: 1 names for 2 columns"), "{error}");
    assert!(folder.join(FEATURES).exists());
}
