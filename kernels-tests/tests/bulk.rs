//! Bulk runs that are extended and pointed at what belongs to others: no line of scores is wiped, and no run's files are
//! overwritten by another's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::block_on;
use foveal::models::dashfusion::{DashFusionConfig, Fusion, Padding};
use foveal::pipelines::sentiment::data::{Clip, DESCRIPTION, Dataset, FEATURES};
use foveal::pipelines::sentiment::log::{Origin, ScoreLog};
use foveal::pipelines::sentiment::{
    Saving, ScoreEvent, ScoreRequest, SentimentModel, TrainEvent, TrainOptions, Trainer,
};
use foveal::weights::WeightStore;
use foveal::{Context, Error, Result};
use kernels_tests::golden::new_context;
use kernels_tests::{scratch, tiny_clips, tiny_dashfusion, tiny_sentiment_model};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

fn model(context: &Context, config: DashFusionConfig) -> SentimentModel {
    tiny_sentiment_model(context, config).unwrap()
}

fn options(epochs: u32) -> TrainOptions {
    TrainOptions {
        epochs,
        batch: 6,
        part: 6,
        learning_rate: 2e-3,
        warmup_epochs: 1,
        contrastive_weight: 0.0,
        seed: 7,
        ..TrainOptions::default()
    }
}

/// The tiny data set with an edit of its description.
fn edited(edit: impl Fn(String) -> String) -> Dataset {
    let json = edit(std::fs::read_to_string(tiny_clips().join(DESCRIPTION)).unwrap());
    let features = WeightStore::open(tiny_clips().join(FEATURES)).unwrap();
    Dataset::from_parts(Path::new("dataset.json"), json.as_bytes(), &features).unwrap()
}

fn go(_: &ScoreEvent) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn bits(run: &Trainer) -> Vec<Vec<u32>> {
    let bits = |t: &foveal::Tensor| block_on(t.to_vec()).unwrap().iter().map(|v| v.to_bits()).collect();
    run.model.parameters.iter().map(|(_, t)| bits(t)).collect()
}

#[test]
fn a_run_that_has_ended_goes_on_to_more_epochs() {
    let context = new_context().unwrap();
    let data = Arc::new(Dataset::open(tiny_clips()).unwrap());
    let new = |epochs| {
        let model = model(&context, tiny_dashfusion());
        block_on(Trainer::new(model, data.clone(), options(epochs))).unwrap()
    };
    let path = scratch("bulk_extended").join("checkpoint.safetensors");
    let saving = Saving { checkpoint: Some(path.clone()), ..Saving::default() };
    let mut short = new(2).with_saving(saving);
    block_on(short.run(|_| ControlFlow::Continue(()))).unwrap();
    let ended = std::fs::read(&path).unwrap();

    let extended = |stop_at: Option<u32>| {
        let path = path.with_file_name(format!("{stop_at:?}.safetensors"));
        std::fs::write(&path, &ended).unwrap();
        let mut run = new(4);
        let resumed = run.resume(&path).unwrap();
        assert_eq!((resumed.steps, resumed.epochs), (6, 2));
        // Three steps an epoch: the rate of step 6 of 12 after 3 of warm-up, where the short run's was 0.
        assert!((run.learning_rate() - 2e-3 * 6.0 / 9.0).abs() < 1e-12, "{}", run.learning_rate());
        let saving = Saving { checkpoint: Some(path.clone()), ..Saving::default() };
        let mut run = run.with_saving(saving);
        let outcome = block_on(run.run(|event| match (event, stop_at) {
            (TrainEvent::Step(step), Some(at)) if step.step == at => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }));
        if outcome.is_err() {
            run = new(4);
            assert_eq!(run.resume(&path).unwrap().epochs, 4);
            block_on(run.run(|_| ControlFlow::Continue(()))).unwrap();
        }
        assert_eq!((run.history().len(), run.steps()), (4, 12));
        (run.history().to_vec(), bits(&run))
    };
    let whole = extended(None);
    assert_eq!(whole.0[..2], *short.history());
    assert!(whole.1 != bits(&short), "nothing was trained");
    assert!(extended(Some(8)) == whole, "another model than that of the run in one go");

    let refused = new(1).resume(&path).unwrap_err().to_string();
    assert!(refused.contains("2 epochs were begun in it, and cannot be made 1"), "{refused}");
}

#[test]
fn a_checkpoint_of_another_run_is_refused_by_what_differs() {
    let context = new_context().unwrap();
    let path = scratch("bulk_other").join("checkpoint.safetensors");
    let run = |config, data: Dataset, options| {
        block_on(Trainer::new(model(&context, config), data, options)).unwrap()
    };
    let same = || Dataset::open(tiny_clips()).unwrap();
    block_on(run(tiny_dashfusion(), same(), options(2)).checkpoint(&path)).unwrap();
    run(tiny_dashfusion(), same(), options(2)).resume(&path).unwrap();
    let text = |json: String| json.replacen("I thought the haircut", "I think the haircut", 1);
    let label = |json: String| json.replacen("-0.964", "-0.963", 1);
    let other = DashFusionConfig { fusion: Fusion::Text, ..tiny_dashfusion() };
    for (mut run, said) in [
        (run(tiny_dashfusion(), same(), TrainOptions { seed: 8, ..options(2) }), "`seed` 7, not 8"),
        (
            run(tiny_dashfusion(), same(), TrainOptions { clip_norm: Some(1.0), ..options(2) }),
            "`clip_norm` none, not 1",
        ),
        (run(other, same(), options(2)), "`fusion` \"hierarchical\", not \"text\""),
        (run(tiny_dashfusion(), edited(text), options(2)), "other clips, features or labels"),
        (run(tiny_dashfusion(), edited(label), options(2)), "other clips, features or labels"),
    ] {
        let error = run.resume(&path).unwrap_err().to_string();
        assert!(error.contains(said) && run.steps() == 0, "{said}: {error}");
    }
    // Another encoder of the same sizes: what is trained on top of it would mean nothing.
    let mut spoiled = model(&context, tiny_dashfusion());
    let (name, tensor) = spoiled.parameters.iter().find(|(n, _)| n.contains("extractor")).unwrap();
    let (name, shape) = (name.to_owned(), tensor.dims().to_vec());
    let zeros = foveal::HostTensor::zeros(shape);
    spoiled.parameters.insert(&name, &zeros).unwrap();
    let mut run = block_on(Trainer::new(spoiled, same(), options(2))).unwrap();
    assert!(run.resume(&path).unwrap_err().to_string().contains("another text encoder"));
    // Options that make no sense are named.
    for (options, said) in [
        (TrainOptions { epochs: 0, ..options(1) }, "`epochs`: 0, at least 1"),
        (TrainOptions { part: 0, ..options(1) }, "`part`: 0, at least 1"),
        (TrainOptions { learning_rate: f64::NAN, ..options(1) }, "`learning_rate`: NaN, a number from 0 on"),
        (TrainOptions { weight_decay: -1.0, ..options(1) }, "`weight_decay`: -1"),
        (TrainOptions { contrastive_weight: 1e60, ..options(1) }, "`contrastive_weight`: 1"),
        (TrainOptions { clip_norm: Some(0.0), ..options(1) }, "`clip_norm`: 0, a number above 0"),
    ] {
        let error = block_on(Trainer::new(model(&context, tiny_dashfusion()), same(), options)).unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

#[test]
fn a_training_run_overwrites_nothing_of_another() {
    let context = new_context().unwrap();
    let data = Arc::new(Dataset::open(tiny_clips()).unwrap());
    let folder = scratch("bulk_overwritten");
    let saving = |checkpoint: &str, best: &str| Saving {
        checkpoint: Some(folder.join(checkpoint)),
        every_steps: None,
        best: Some(folder.join(best)),
    };
    let new = |saving| {
        let model = model(&context, tiny_dashfusion());
        block_on(Trainer::new(model, data.clone(), options(1))).unwrap().with_saving(saving)
    };
    let stop = |_: &TrainEvent| ControlFlow::Break(());
    let run = |run: &mut Trainer| block_on(run.run(stop)).unwrap_err().to_string();
    std::fs::create_dir(folder.join("a")).unwrap();
    // Nothing is there before the first step, and a checkpoint is, before anything else can be.
    let mut first = new(saving("a/checkpoint", "a/best"));
    assert!(run(&mut first).contains("cancelled"));
    assert!(folder.join("a/checkpoint").exists() && !folder.join("a/best/model.safetensors").exists());
    block_on(first.run(|_| ControlFlow::Continue(()))).unwrap();
    SentimentModel::open(&context, folder.join("a/best")).unwrap();
    let before = std::fs::read(folder.join("a/best/model.safetensors")).unwrap();
    for (checkpoint, best, said) in [
        ("a/checkpoint", "b", "a/checkpoint: it is of another training run"),
        ("c", "a/best", "a/best/model.safetensors: it is of another training run"),
        ("none/c", "b", "there is no folder"),
        ("a", "b", "a: it is of another training run"),
    ] {
        let error = run(&mut new(saving(checkpoint, best)));
        assert!(error.contains(said), "{said}: {error}");
    }
    assert_eq!(std::fs::read(folder.join("a/best/model.safetensors")).unwrap(), before);
    // Half an encoder, as a run that was killed while it copied left it, is mended by the next save.
    std::fs::write(folder.join("a/best/text_encoder/tokenizer.json"), "{").unwrap();
    block_on(first.model.save(folder.join("a/best"), false)).unwrap();
    SentimentModel::open(&context, folder.join("a/best")).unwrap();

    // A copy of a checkpoint is not the file that would be overwritten.
    std::fs::copy(folder.join("a/checkpoint"), folder.join("copy")).unwrap();
    let mut again = new(saving("a/checkpoint", "a/best"));
    again.resume(&folder.join("copy")).unwrap();
    assert!(run(&mut again).contains("a/checkpoint: it is of another training run"));
    let mut again = new(saving("a/checkpoint", "a/best"));
    again.resume(&folder.join("a/checkpoint")).unwrap();
    std::fs::remove_file(folder.join("a/best/model.safetensors")).unwrap();
    let error = run(&mut again);
    assert!(error.contains("the best model, of epoch 1, is not there any more"), "{error}");
}

#[test]
fn a_clip_that_cannot_be_scored_has_a_line_that_says_why() {
    let context = new_context().unwrap();
    let data = Dataset::open(tiny_clips()).unwrap();
    let clips: Vec<&Clip> = data.splits.values().flatten().collect();
    let most = clips.iter().map(|clip| clip.frames()[0]).max().unwrap() - 1;
    let mut scorer = model(&context, DashFusionConfig { audio_frames: most, ..tiny_dashfusion() });
    let long: Vec<&str> =
        clips.iter().filter(|c| c.frames()[0] > most).map(|clip| clip.id.as_str()).collect();
    assert!(!long.is_empty() && long.len() < clips.len());
    let said = format!("audio has {} frames, the model takes at most {most}", most + 1);
    for extension in ["jsonl", "csv"] {
        let path = scratch("bulk_unscored").join(format!("scores.{extension}"));
        let mut log = ScoreLog::open(&path).unwrap();
        let found = block_on(log.fill(&scorer, &data, &ScoreRequest::default(), go)).unwrap();
        assert_eq!((log.len(), log.unscored()), (clips.len(), long.len()));
        assert_eq!(found.unscored.iter().map(|u| &u.id[..]).collect::<Vec<_>>(), long);
        assert_eq!(found.scores.len() + long.len(), clips.len());
        drop(log);
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.matches(&said).count(), long.len(), "{lines}");
        // It has its line: nothing is left to do, and the closing count is the same.
        let mut log = ScoreLog::open(&path).unwrap();
        block_on(log.fill(&scorer, &data, &ScoreRequest::default(), |e| panic!("{e:?}"))).unwrap();
        assert_eq!(log.unscored(), long.len());
        drop(log);
        // Padding decides scores, so it is another model.
        scorer.padding = Padding::Released;
        let mut log = ScoreLog::open(&path).unwrap();
        let other = block_on(log.fill(&scorer, &data, &ScoreRequest::default(), go)).unwrap_err();
        assert!(other.to_string().contains("its scores are of another model"), "{other}");
        let missing = clips.iter().find(|clip| clip.frames()[1] == 0).unwrap();
        assert!(scorer.refusal(missing).unwrap().reason.contains("vision is missing"));
        scorer.padding = Padding::Masked;
        // And a word is other data.
        let words = edited(|json| json.replacen("I thought the haircut", "I think the haircut", 1));
        drop(log);
        let mut log = ScoreLog::open(&path).unwrap();
        let other = block_on(log.fill(&scorer, &words, &ScoreRequest::default(), go)).unwrap_err();
        assert!(other.to_string().contains("its scores are of other data"), "{other}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), lines);
    }
    // Measures of the clips that happen to fit would mean something else.
    let split = data.splits.iter().find(|(_, all)| all.iter().any(|clip| clip.id == long[0])).unwrap().0;
    let error = block_on(scorer.evaluate(&data, &ScoreRequest::split(split), go)).unwrap_err().to_string();
    assert!(error.contains(&format!("clip `{}`: {said}", long[0])), "{error}");
    let narrow = model(&context, DashFusionConfig { audio_width: 32, ..tiny_dashfusion() });
    let error = block_on(narrow.score(&data, &ScoreRequest::default(), go)).unwrap_err();
    assert!(matches!(&error, Error::Input { what, .. } if what == "audio width"), "{error}");
}

#[test]
fn ids_are_what_they_were_whatever_they_hold() -> Result<()> {
    let path = scratch("bulk_ids").join("scores.csv");
    let id = "clip,\"3\"\nof \u{e9}3";
    let score = serde_json::json!({"id": id, "score": -0.5, "missing": []});
    let score: foveal::pipelines::sentiment::Score = serde_json::from_value(score).unwrap();
    let origin = Origin { model: "0123456789abcdef".into(), data: "fedcba9876543210".into() };
    for _ in 0..2 {
        let mut log = ScoreLog::open(&path)?;
        log.go_on(origin.clone())?;
        log.add(std::slice::from_ref(&score))?;
        assert!(log.has(id) && log.len() == 1);
    }
    let row = format!("\"{}\",-0.5,,,0123456789abcdef,fedcba9876543210\n", id.replace('"', "\"\""));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("id,score,missing,error,model,data\n{row}"));
    Ok(())
}
