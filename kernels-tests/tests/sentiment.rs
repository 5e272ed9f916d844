//! Sentiment from feature files to scores: bad input by name, training that can be stopped, scoring that leaves nothing
//! out. The data are 24 clips of `tools/sentiment_data`, the text encoder a random one with a real tokenizer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::block_on;
use foveal::models::dashfusion::keys::{MODALITIES, late_head};
use foveal::models::dashfusion::{DashFusionConfig, Fusion};
use foveal::pipelines::sentiment::data::{Clip, DESCRIPTION, Dataset, FEATURES, bucketed};
use foveal::pipelines::sentiment::{
    Saving, ScoreEvent, ScoreRequest, SentimentModel, TextMemory, TrainEvent, TrainOptions, Trainer,
};
use foveal::weights::WeightStore;
use foveal::{Context, Error, HostTensor, Result};
use kernels_tests::golden::new_context;
use kernels_tests::{scratch, tiny_clips, tiny_dashfusion, tiny_sentiment_model};
use safetensors::tensor::TensorView;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

fn options() -> TrainOptions {
    TrainOptions {
        epochs: 3,
        batch: 6,
        part: 4,
        learning_rate: 2e-3,
        warmup_epochs: 1,
        clip_norm: Some(5.0),
        seed: 7,
        ..TrainOptions::default()
    }
}

/// Everything that a run leaves, in bits.
fn fingerprint(run: &Trainer) -> Vec<(String, Vec<u32>)> {
    let bits = |(name, t): (&str, &foveal::Tensor)| {
        let values = block_on(t.to_vec()).unwrap();
        (name.to_owned(), values.iter().map(|v| v.to_bits()).collect())
    };
    run.model.parameters.iter().map(bits).collect()
}

fn to_the_end(run: &mut Trainer) {
    block_on(run.run(|_| ControlFlow::Continue(()))).unwrap();
}

/// Once frozen and once with the text encoder trained.
fn a_killed_run_goes_on_bit_for_bit(train_text: bool) {
    let context = new_context().unwrap();
    let data = Arc::new(Dataset::open(tiny_clips()).unwrap());
    let options = TrainOptions { train_text, ..options() };
    let new = || {
        block_on(Trainer::new(
            tiny_sentiment_model(&context, tiny_dashfusion()).unwrap(),
            data.clone(),
            options.clone(),
        ))
        .unwrap()
    };
    let mut whole = new();
    let before = fingerprint(&whole);
    to_the_end(&mut whole);
    let (expected, history) = (fingerprint(&whole), whole.history().to_vec());
    let moved = expected.iter().zip(&before).filter(|(a, b)| a != b);
    let text_moved = moved.clone().any(|(a, _)| a.0.starts_with("text_encoder.extractor."));
    assert_eq!(text_moved, train_text);
    assert!(moved.count() > 50 && history.len() == 3);

    let path = scratch(&format!("sentiment_resume_{train_text}")).join("checkpoint.safetensors");
    let mut first = new();
    // Three steps an epoch: the run dies within the second one, after its last checkpoint.
    for _ in 0..6 {
        block_on(first.next()).unwrap();
        block_on(first.checkpoint(&path)).unwrap();
    }
    block_on(first.next()).unwrap();
    drop(first);
    let mut second = new();
    second.resume(&path).unwrap();
    assert_eq!(second.steps(), 5);
    to_the_end(&mut second);
    assert_eq!(second.history(), history);
    for (found, expected) in fingerprint(&second).iter().zip(&expected) {
        assert!(found == expected, "{} differs from that of the uninterrupted run", found.0);
    }

    let other = TrainOptions { seed: 8, ..options.clone() };
    let mut third = block_on(Trainer::new(
        tiny_sentiment_model(&context, tiny_dashfusion()).unwrap(),
        data.clone(),
        other,
    ))
    .unwrap();
    assert!(third.resume(&path).unwrap_err().to_string().contains("it is of a run with"));
}

#[test]
fn a_killed_run_with_a_frozen_text_encoder_goes_on_bit_for_bit() {
    a_killed_run_goes_on_bit_for_bit(false);
}

#[test]
fn a_killed_run_with_a_trained_text_encoder_goes_on_bit_for_bit() {
    a_killed_run_goes_on_bit_for_bit(true);
}

#[test]
fn training_learns_and_a_saved_model_scores_alike() {
    let context = new_context().unwrap();
    let data = Arc::new(Dataset::open(tiny_clips()).unwrap());
    let options = TrainOptions { epochs: 25, contrastive_weight: 0.0, warmup_epochs: 2, ..options() };
    let quiet = DashFusionConfig { encoder_dropout: 0.0, position_dropout: 0.0, ..tiny_dashfusion() };
    let mut run =
        block_on(Trainer::new(tiny_sentiment_model(&context, quiet).unwrap(), data.clone(), options))
            .unwrap();
    to_the_end(&mut run);
    let (first, last) = (run.history().first().unwrap(), run.history().last().unwrap());
    // Sixteen clips are learnt by heart.
    assert!(last.train_mse < 0.2 * first.train_mse, "{} to {}", first.train_mse, last.train_mse);

    let saved = scratch("sentiment_saved");
    block_on(run.model.save(&saved, false)).unwrap();
    let opened = SentimentModel::open(&context, &saved).unwrap();
    let clips: Vec<&Clip> = data.split("test").unwrap().iter().collect();
    let (a, b) = (
        block_on(run.model.score_batch(&data, &clips)).unwrap(),
        block_on(opened.score_batch(&data, &clips)).unwrap(),
    );
    assert_eq!(a, b);
    let missing: Vec<&[String]> = a.iter().map(|s| &s.missing[..]).collect();
    assert_eq!(missing[..3], [&["vision".to_owned()][..], &["audio".to_owned()], &[]]);
    // Texts are tokenised, encoded and padded in the batch: none of it may show.
    for (clip, score) in clips.iter().zip(&a) {
        let alone = block_on(opened.score_batch(&data, &[clip])).unwrap();
        assert!((alone[0].score - score.score).abs() <= 1e-5, "{}", clip.id);
    }
}

fn bench() -> (Context, Arc<Dataset>) {
    (new_context().unwrap(), Arc::new(Dataset::open(tiny_clips()).unwrap()))
}

#[test]
fn a_training_run_that_is_broken_off_says_where_and_runs_on() {
    let (context, data) = bench();
    let new = || {
        block_on(Trainer::new(
            tiny_sentiment_model(&context, tiny_dashfusion()).unwrap(),
            data.clone(),
            options(),
        ))
        .unwrap()
    };
    let mut whole = new();
    let mut told = Vec::new();
    let result = block_on(whole.run(|event| {
        told.push(event.clone());
        ControlFlow::Continue(())
    }));
    let result = result.unwrap();
    assert_eq!((result.history.as_slice(), result.steps), (whole.history(), whole.steps()));
    let best = result.history.iter().min_by(|a, b| a.valid.mae().total_cmp(&b.valid.mae())).unwrap();
    assert_eq!(result.best, Some((best.epoch, best.valid.mae())));
    let steps = told.iter().filter(|e| matches!(e, TrainEvent::Step(_))).count();
    assert_eq!((steps, told.len()), (9, 12), "three steps and a look an epoch");

    // Broken off in the second epoch, between two checkpoints: what was saved is where it was.
    let folder = scratch("sentiment_broken_off");
    let (checkpoint, best) = (folder.join("checkpoint.safetensors"), folder.join("best"));
    let saving =
        Saving { checkpoint: Some(checkpoint.clone()), every_steps: Some(2), best: Some(best.clone()) };
    let mut first = new().with_saving(saving);
    let stop = |event: &TrainEvent| match event {
        TrainEvent::Step(step) if step.step == 5 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    match block_on(first.run(stop)) {
        Err(Error::Cancelled(place)) => assert_eq!(place, "training step 5"),
        other => panic!("{other:?}"),
    }
    let mut second = new();
    second.resume(&checkpoint).unwrap();
    assert_eq!(second.steps(), 5);
    SentimentModel::open(&context, &best).unwrap();
    for mut run in [first, second] {
        to_the_end(&mut run);
        assert_eq!(run.history(), whole.history());
        assert!(fingerprint(&run) == fingerprint(&whole), "another model than that of the run in one go");
    }
    // At the end there is nothing to do.
    let again = block_on(whole.run(|event| panic!("{event:?}"))).unwrap();
    assert_eq!(again, result);
}

#[test]
fn a_checkpoint_that_is_refused_changes_nothing() {
    use safetensors::SafeTensors;
    let (context, data) = bench();
    let new = || {
        block_on(Trainer::new(
            tiny_sentiment_model(&context, tiny_dashfusion()).unwrap(),
            data.clone(),
            options(),
        ))
        .unwrap()
    };
    let path = scratch("sentiment_refused").join("checkpoint.safetensors");
    let mut run = new();
    // The first step has a rate of 0: only the second one moves what the checkpoint holds.
    for _ in 0..2 {
        block_on(run.next()).unwrap();
    }
    block_on(run.checkpoint(&path)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let spoiled = |kind: &str, value: f32| {
        let mut parts: Vec<_> = tensors
            .iter()
            .map(|(name, t)| (name.to_owned(), t.shape().to_vec(), t.data().to_vec()))
            .collect();
        // The last of its kind, so that the others are read before.
        let (_, _, data) =
            parts.iter_mut().filter(|(name, ..)| name.starts_with(kind)).max_by_key(|p| p.0.clone()).unwrap();
        data[..4].copy_from_slice(&value.to_le_bytes());
        let views = parts.iter().map(|(name, shape, data)| {
            (name.clone(), TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
        });
        std::fs::write(&path, safetensors::tensor::serialize(views, header.metadata().clone()).unwrap())
            .unwrap();
    };
    let mut other = new();
    let before = fingerprint(&other);
    for (kind, value) in
        [("second_moment.", -1.0), ("first_moment.", f32::NAN), ("parameter.", f32::INFINITY)]
    {
        spoiled(kind, value);
        other.resume(&path).unwrap_err();
        assert!(fingerprint(&other) == before && other.steps() == 0, "{kind}: half resumed");
    }
    std::fs::write(&path, &bytes).unwrap();
    other.resume(&path).unwrap();
    assert!(fingerprint(&other) == fingerprint(&run) && other.steps() == 2);
    assert!(fingerprint(&other) != before, "the checkpoint holds the values that the model had anyway");
}

#[test]
fn scoring_tells_of_each_batch_leaves_out_what_is_done_and_measures() {
    let (context, data) = bench();
    let scorer = tiny_sentiment_model(&context, tiny_dashfusion()).unwrap();
    let request = ScoreRequest { batch: 3, ..ScoreRequest::split("test") };
    let clips = data.split("test").unwrap();
    let mut told = Vec::new();
    let found = block_on(scorer.score(&data, &request, |event| {
        let ScoreEvent::Scored { scores, done, of, .. } = event else { panic!("{event:?}") };
        told.extend(scores.clone());
        assert_eq!((told.len(), clips.len()), (*done, *of));
        ControlFlow::Continue(())
    }));
    let found = found.unwrap().scores;
    let ids = |all: &[foveal::pipelines::sentiment::Score]| -> Vec<String> {
        all.iter().map(|s| s.id.clone()).collect()
    };
    assert_eq!(
        ids(&found),
        clips.iter().map(|c| c.id.clone()).collect::<Vec<_>>(),
        "in the order of the data"
    );
    told.sort_by_key(|score| ids(&found).iter().position(|id| *id == score.id));
    assert_eq!(told, found);

    let evaluation = block_on(scorer.evaluate(&data, &request, |_| ControlFlow::Continue(()))).unwrap();
    assert_eq!(evaluation.scores, found.iter().map(|s| s.score).collect::<Vec<_>>());
    assert_eq!(evaluation.labels, data.labels(clips).unwrap());
    let off = |(s, l): (&f32, &f32)| f64::from((s - l).abs());
    let mae = evaluation.scores.iter().zip(&evaluation.labels).map(off).sum::<f64>() / clips.len() as f64;
    assert!((evaluation.metrics.mae() - mae).abs() < 1e-6);

    let rest = ScoreRequest { skip: ids(&found[1..]).into_iter().collect(), ..request.clone() };
    let rest = block_on(scorer.score(&data, &rest, |_| ControlFlow::Continue(()))).unwrap().scores;
    assert_eq!(ids(&rest), ids(&found[..1]));
    match block_on(scorer.score(&data, &request, |_| ControlFlow::Break(()))) {
        Err(Error::Cancelled(place)) => assert_eq!(place, format!("clip 3 of {}", clips.len())),
        other => panic!("{other:?}"),
    }
    let none = ScoreRequest { batch: 0, ..request };
    let refused = block_on(scorer.score(&data, &none, |_| ControlFlow::Continue(())));
    assert!(matches!(&refused, Err(Error::Input { what, .. }) if what == "batch"), "{refused:?}");
}

/// The tiny data set with an edit of its description or its features.
fn edited(
    edit: impl Fn(String) -> String,
    features: impl Fn(&str, &mut Vec<f32>, &mut [usize; 2]),
) -> Result<Dataset> {
    let json = edit(std::fs::read_to_string(tiny_clips().join(DESCRIPTION)).unwrap());
    let store = WeightStore::open(tiny_clips().join(FEATURES)).unwrap();
    let mut parts = Vec::new();
    for name in ["audio", "vision"] {
        let found = store.load_any(name).unwrap();
        let mut shape = <[usize; 2]>::try_from(found.shape().dims()).unwrap();
        let mut values = found.into_data();
        features(name, &mut values, &mut shape);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        parts.push((name, shape, bytes));
    }
    let views = parts.iter().map(|(name, shape, bytes)| {
        (*name, TensorView::new(safetensors::Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    let store = WeightStore::from_bytes("features", safetensors::tensor::serialize(views, None).unwrap())?;
    Dataset::from_parts(Path::new("dataset.json"), json.as_bytes(), &store)
}

fn unchanged(_: &str, _: &mut Vec<f32>, _: &mut [usize; 2]) {}

#[test]
fn bad_data_is_refused_by_name() {
    let text = |from: &'static str, to: &'static str| {
        let edit = move |json: String| {
            assert!(json.contains(from), "{from}");
            json.replacen(from, to, 1)
        };
        edited(edit, unchanged).unwrap_err().to_string()
    };
    assert!(edited(|json| json, unchanged).is_ok());
    for (from, to, said) in [
        ("I thought the haircut was messy.", " ", "`train_0000` of `train`: it has no text"),
        ("-0.964", "-3.5", "label -3.5 is outside -3..3"),
        ("-0.964", "\"low\"", "invalid type"),
        ("\"train_0001\"", "\"train_0000\"", "`train_0000` of `train`: its id comes twice"),
        ("[0, 34]", "[0, 99999]", "audio rows 0..0+99999"),
        ("\"audio_width\": 33", "\"audio_width\": 32", "(rows, 32)"),
        ("\"version\": 1", "\"version\": 2", "foveal-sentiment 1 is read"),
        ("\"label_range\"", "\"labels\"", "labels"),
    ] {
        let error = text(from, to);
        assert!(error.contains(said), "{from} → {to}: {error}");
    }
    let value = |at: &'static str, value: f32| {
        edited(
            |json| json,
            move |name, values, _| {
                if name == at {
                    values[40] = value;
                }
            },
        )
    };
    assert!(value("audio", f32::NAN).unwrap_err().to_string().contains("audio frame 1, column 7 is NaN"));
    assert!(value("audio", f32::INFINITY).unwrap_err().to_string().contains("is inf"));
    assert!(
        value("vision", f32::NEG_INFINITY).unwrap_err().to_string().contains("vision frame 1, column 15")
    );
    // COVAREP's silence.
    let cleaned = value("audio", f32::NEG_INFINITY).unwrap();
    assert_eq!(cleaned.cleaned, 1);
    assert_eq!(cleaned.audio(&cleaned.split("train").unwrap()[0])[40], 0.0);
}

#[test]
fn clips_that_a_model_cannot_take_are_refused_by_name() {
    let context = new_context().unwrap();
    let data = Arc::new(Dataset::open(tiny_clips()).unwrap());
    let refused = |config: DashFusionConfig, options: TrainOptions| {
        let run = tiny_sentiment_model(&context, config)
            .and_then(|m| block_on(Trainer::new(m, data.clone(), options)));
        run.err().map_or_else(|| panic!("it was taken"), |e| e.to_string())
    };
    let error = refused(DashFusionConfig { audio_width: 32, ..tiny_dashfusion() }, options());
    assert!(error.contains("audio width") && error.contains("the data set has 33, the model 32"), "{error}");
    let error = refused(DashFusionConfig { vision_frames: 30, ..tiny_dashfusion() }, options());
    assert!(
        error.contains("`train_0001`: vision has ") && error.contains("frames, the model takes at most 30"),
        "{error}"
    );
    let error = refused(DashFusionConfig { text_width: 64, ..tiny_dashfusion() }, options());
    assert!(error.contains("hidden size 32; the model takes 64"), "{error}");
    let error = refused(tiny_dashfusion(), TrainOptions { batch: 0, ..options() });
    assert!(error.contains("training option `batch`: 0"), "{error}");
    assert!(
        tiny_sentiment_model(&context, tiny_dashfusion())
            .unwrap()
            .tokens("  ")
            .unwrap_err()
            .to_string()
            .contains("empty")
    );

    let unlabelled =
        edited(|json| json.replacen("\"label\": -0.964", "\"label\": null", 1), unchanged).unwrap();
    let run = block_on(Trainer::new(
        tiny_sentiment_model(&context, tiny_dashfusion()).unwrap(),
        unlabelled,
        options(),
    ));
    assert!(run.err().unwrap().to_string().contains("`train_0000` has no label"));
    let error = data.split("dev").unwrap_err().to_string();
    assert!(error.contains("`dev`") && error.contains("test, train, valid"), "{error}");
}

#[test]
fn batches_hold_clips_of_like_length_and_every_clip_once() {
    let costs = [5, 90, 7, 88, 6, 91, 1];
    let batches = bucketed(&costs, 3);
    assert_eq!(batches, [vec![6, 0, 4], vec![2, 3, 1], vec![5]]);
}

/// The first event of a run is a step, and its loss a number, in every fusion that the head can see.
#[test]
fn every_fusion_trains() {
    use foveal::models::dashfusion::Fusion::{Audio, Concatenation, Hierarchical, Late, Text, Vision};
    let context = new_context().unwrap();
    let data = Arc::new(Dataset::open(tiny_clips()).unwrap());
    for fusion in [Hierarchical, Concatenation, Late, Text, Audio, Vision] {
        let model = tiny_sentiment_model(&context, DashFusionConfig { fusion, ..tiny_dashfusion() }).unwrap();
        let mut run = block_on(Trainer::new(model, data.clone(), options())).unwrap();
        match block_on(run.next()).unwrap() {
            Some(TrainEvent::Step(step)) => {
                assert!(step.mse.is_finite(), "{fusion:?}");
                assert_eq!(step.contrast > 0.0, fusion == Hierarchical, "{fusion:?}: {}", step.contrast);
            }
            other => panic!("{fusion:?}: {other:?}"),
        }
    }
}

/// Scores of the test clips by name.
fn scores(model: &SentimentModel, data: &Dataset) -> Vec<(String, f32)> {
    let found =
        block_on(model.score(data, &ScoreRequest::split("test"), |_| ControlFlow::Continue(()))).unwrap();
    found.scores.into_iter().map(|s| (s.id, s.score)).collect()
}

/// A parameter times `factor`.
fn scaled(model: &mut SentimentModel, name: &str, factor: f32) {
    let tensor = model.parameters.get(name).unwrap();
    let values = block_on(tensor.to_vec()).unwrap().into_iter().map(|v| v * factor).collect();
    let values = HostTensor::new(tensor.dims(), values).unwrap();
    model.parameters.insert(name, &values).unwrap();
}

/// Late fusion is a sum over modalities, in which one that a clip lacks has no say, whatever its head says of nothing.
#[test]
fn late_fusion_adds_up_its_heads_and_leaves_out_what_is_missing() {
    let context = new_context().unwrap();
    let data = Dataset::open(tiny_clips()).unwrap();
    let config = DashFusionConfig { fusion: Fusion::Late, ..tiny_dashfusion() };
    let fresh = || tiny_sentiment_model(&context, config.clone()).unwrap();
    let silent = |model: &mut SentimentModel, head: &str| {
        for part in ["weight", "bias"] {
            scaled(model, &format!("{head}.MLP.4.{part}"), 0.0);
        }
    };
    let whole = scores(&fresh(), &data);
    let heads = MODALITIES.map(late_head);
    let alone = heads.map(|kept| {
        let mut model = fresh();
        heads.iter().filter(|head| **head != kept).for_each(|head| silent(&mut model, head));
        scores(&model, &data)
    });
    for (clip, (name, score)) in whole.iter().enumerate() {
        let sum: f32 = alone.iter().map(|a| a[clip].1).sum();
        assert!((sum - score).abs() < 1e-5, "{name}: {sum}, not {score}");
    }
    let lacking: Vec<(usize, &str)> = data
        .split("test")
        .unwrap()
        .iter()
        .enumerate()
        .flat_map(|(i, clip)| clip.missing().into_iter().map(move |what| (i, what)))
        .collect();
    assert!(!lacking.is_empty());
    for (clip, what) in lacking {
        let head = heads.iter().position(|head| head.ends_with(what)).unwrap();
        assert_eq!(alone[head][clip].1, 0.0, "{}: {what}", whole[clip].0);
        let others: Vec<f32> =
            alone.iter().enumerate().filter(|(h, _)| *h != head).map(|(_, a)| a[clip].1).collect();
        assert!(others.iter().any(|&score| score != 0.0), "{}: nobody says anything", whole[clip].0);
    }
}

/// What a memory of texts holds is taken in place of the encoder, by every model that it is given to and by no run that
/// trains the encoder.
#[test]
fn a_memory_of_texts_stands_in_for_a_frozen_encoder() {
    let context = new_context().unwrap();
    let data = Arc::new(Dataset::open(tiny_clips()).unwrap());
    let memory = TextMemory::default();
    let without = scores(&tiny_sentiment_model(&context, tiny_dashfusion()).unwrap(), &data);
    let mut with =
        tiny_sentiment_model(&context, tiny_dashfusion()).unwrap().with_text_memory(memory.clone());
    let near =
        |a: &[(String, f32)], b: &[(String, f32)]| a.iter().zip(b).all(|(a, b)| (a.1 - b.1).abs() < 1e-5);
    assert!(near(&scores(&with, &data), &without));
    let texts: BTreeSet<&str> = data.split("test").unwrap().iter().map(|clip| clip.text.as_str()).collect();
    assert_eq!(memory.len(), texts.len());
    // An encoder that says something else is not asked again.
    scaled(&mut with, "text_encoder.extractor.embeddings.word_embeddings.weight", -2.0);
    assert!(near(&scores(&with, &data), &without));
    let options = TrainOptions { train_text: true, ..options() };
    let trained = block_on(Trainer::new(with, data.clone(), options)).unwrap();
    assert!(!near(&scores(&trained.model, &data), &without));
}
