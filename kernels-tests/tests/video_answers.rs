//! A model's folder, a video and a question, to an answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::models::qwen2_5_vl::processor::{RgbFrame, Size};
use foveal::models::qwen2_5_vl::{MropeRule, Placement};
use foveal::nn::Precision;
use foveal::pipelines::video_qa::{
    Answer, Clip, Event, Finish, FrameSource, Grounded, Look, QaPlanRequest, Question, Selection, SourceInfo,
    VideoQa, Visual, memory_plan,
};
use foveal::pipelines::videos::Video;
use foveal::{Context, ContextOptions, Error, Result, block_on};
use kernels_tests::root;
use std::ops::ControlFlow;
use std::path::PathBuf;

fn folder() -> PathBuf {
    root().join("models/tiny-qwen-vl")
}

fn open() -> VideoQa {
    let context = block_on(Context::new(ContextOptions::default())).unwrap();
    VideoQa::open(&context, folder()).unwrap()
}

/// Sixteen frames on which a square wanders.
fn clip(height: usize, width: usize, frames: usize, fps: f64) -> Clip {
    let frame = |n: usize| -> Vec<u8> {
        let inside = |y: usize, x: usize| {
            let (top, left) = (height / 4, (n * 3) % width.max(1));
            (top..top + height / 4 + 1).contains(&y) && (left..left + width / 4 + 1).contains(&x)
        };
        let pixel = |at: usize| {
            let (y, x) = (at / width, at % width);
            if inside(y, x) { [220, 40, 40] } else { [60, (at % 90) as u8 + 60, 90] }
        };
        (0..height * width).flat_map(pixel).collect()
    };
    Clip::new(Size { height, width }, fps, (0..frames).map(frame).collect()).unwrap()
}

fn go(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn look(model: &VideoQa, clip: &mut Clip) -> Visual {
    block_on(model.look(clip, &model.defaults().look(), go)).unwrap()
}

fn answer(model: &VideoQa, visuals: &[&Visual], question: &Question) -> Result<Answer> {
    block_on(model.answer(visuals, question, go))
}

fn question(text: &str) -> Question {
    Question { max_tokens: 12, ..Question::new(text) }
}

#[test]
fn an_answer_comes_token_by_token_and_says_what_was_kept() {
    let model = open();
    let visual = look(&model, &mut clip(140, 140, 16, 2.0));
    assert_eq!((visual.units, visual.times.len(), visual.frames_per_step), ([8, 5, 5], 16, 2));
    assert_eq!(visual.step_times()[..2], [0.25, 1.25]);
    for selection in [
        None,
        Some(Selection::grounding(6, 0.25)),
        Some(Selection::fast_v(0.25)),
        Some(Selection::prune_vid(6, 0.25)),
        Some(Selection::change(0.25)),
        Some(Selection::uniform(0.25)),
    ] {
        for timestamps in [false, true] {
            let asked = Question {
                selection: selection.clone(),
                timestamps,
                scores: true,
                ..question("Which object appears first, when and where?")
            };
            let (mut told, mut prefilled) = (String::new(), None);
            let got = block_on(model.answer(&[&visual], &asked, |event| {
                match event {
                    Event::Token { text, .. } | Event::Ended { rest: text, .. } => told += text,
                    Event::Prefilled { video, .. } => prefilled = Some(*video),
                    _ => {}
                }
                ControlFlow::Continue(())
            }))
            .unwrap();
            assert_eq!(told, got.text, "{selection:?}");
            assert_eq!(model.tokenizer().decode(&got.ids).unwrap(), got.text);
            assert_eq!(got.video_tokens, 200);
            let Some(kept) = &got.kept else {
                assert!(selection.is_none() && got.scores.is_empty() && prefilled == Some(200));
                continue;
            };
            assert_eq!((kept.len(), prefilled), (50, Some(50)), "{selection:?}");
            assert!(kept.windows(2).all(|pair| pair[0].place < pair[1].place), "{selection:?}");
            assert_eq!(got.scores.len(), 1);
            assert_eq!(got.scores[0].len(), 200);
            assert_eq!(got.kept_per_step(0, 8).iter().sum::<usize>(), 50);
            // What was kept is named by what it is: its own score is among the best.
            for token in kept {
                assert!(token.row < 5 && token.column < 5 && token.step < 8);
                assert_eq!(token.time, visual.step_times()[token.step]);
            }
            if matches!(
                asked.selection,
                Some(Selection { choice: foveal::pipelines::video_qa::Choice::Share(_), .. })
            ) {
                let mut sorted = got.scores[0].clone();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let score = |t: &foveal::pipelines::video_qa::KeptToken| {
                    got.scores[0][t.step * 25 + t.row * 5 + t.column]
                };
                assert!(kept.iter().all(|token| score(token) >= sorted[49]), "{selection:?}");
            }
        }
    }
}

/// The clips are of `tools/train_tiny_qwen_vl/make_clips.py`; the answers were given in PyTorch, by a model whose logits are
/// transformers' (`check_transformers.py` there), from frames that ffmpeg decoded.
#[test]
fn real_files_are_answered_as_in_pytorch() {
    let model = open();
    let folder = root().join("kernels-tests/clips");
    let scores: serde_json::Value =
        serde_json::from_slice(&std::fs::read(root().join("models/tiny-qwen-vl/scores.json")).unwrap())
            .unwrap();
    let questions = std::fs::read_to_string(folder.join("questions.jsonl")).unwrap();
    let mut last: Option<(String, Visual)> = None;
    for line in questions.lines() {
        let asked: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| asked[key].as_str().unwrap().to_owned();
        if last.as_ref().is_none_or(|(name, _)| *name != text("video")) {
            let mut video = Video::open(folder.join(text("video"))).unwrap();
            last = Some((
                text("video"),
                block_on(model.look(&mut video, &model.defaults().look(), go)).unwrap(),
            ));
        }
        let visual = &last.as_ref().unwrap().1;
        for (timestamps, kind) in [(false, "without_times"), (true, "with_times")] {
            let question = Question { timestamps, max_tokens: 40, ..model.question(text("question")) };
            let got = answer(&model, &[visual], &question).unwrap();
            assert_eq!(got.text, scores[kind]["answers"][text("id")].as_str().unwrap(), "{line}");
            assert_eq!(got.finish, Finish::End);
            let grounded = Grounded::read(&got.text);
            assert_eq!((grounded.boxes.len(), grounded.times.len()), (1, 1), "{}", got.text);
        }
    }
}

#[test]
fn chunks_streamed_blocks_and_a_second_question_change_nothing() {
    let model = open();
    let visual = look(&model, &mut clip(140, 140, 16, 2.0));
    let asked = Question {
        selection: Some(Selection::grounding(6, 0.5)),
        ..question("When does the square appear?")
    };
    let whole = answer(&model, &[&visual], &asked).unwrap();
    for chunk in [7, 64] {
        assert_eq!(answer(&model, &[&visual], &Question { chunk, ..asked.clone() }).unwrap().ids, whole.ids);
    }
    let streamed = VideoQa::open_as(model.context(), folder(), Precision::F32, Placement::Streamed).unwrap();
    assert_eq!(answer(&streamed, &[&visual], &asked).unwrap(), whole);
    let all = Question { selection: Some(Selection::uniform(1.0)), ..asked.clone() };
    let plain = Question { selection: None, ..asked };
    assert_eq!(
        answer(&model, &[&visual], &all).unwrap().ids,
        answer(&model, &[&visual], &plain).unwrap().ids
    );
}

#[test]
fn an_answer_ends_where_it_is_asked_to() {
    let model = open();
    let visual = look(&model, &mut clip(140, 140, 16, 2.0));
    let asked = question("Which object appears first, when and where?");
    let long = answer(&model, &[&visual], &asked).unwrap();
    let short = answer(&model, &[&visual], &Question { max_tokens: 3, ..asked.clone() }).unwrap();
    assert_eq!((short.ids.as_slice(), short.finish), (&long.ids[..3], Finish::Length));
    let place = long.text.char_indices().nth(4).unwrap().0;
    let stop: String = long.text[place..].chars().take(3).collect();
    let mut told = String::new();
    let stopped = block_on(model.answer(
        &[&visual],
        &Question { stop: vec![String::new(), stop.clone()], ..asked.clone() },
        |event| {
            if let Event::Token { text, .. } | Event::Ended { rest: text, .. } = event {
                told += text;
            }
            ControlFlow::Continue(())
        },
    ))
    .unwrap();
    assert_eq!(stopped.finish, Finish::Stop);
    assert_eq!(stopped.text, long.text[..long.text.find(&stop).unwrap()]);
    assert_eq!(told, stopped.text);
    let mut tokens = 0;
    let broken = block_on(model.answer(&[&visual], &asked, |event| {
        tokens += usize::from(matches!(event, Event::Token { .. }));
        if tokens == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }));
    assert!(matches!(&broken, Err(Error::Cancelled(place)) if place.contains("token 2")), "{broken:?}");
    // The model may be asked again.
    assert_eq!(answer(&model, &[&visual], &asked).unwrap(), long);
}

#[test]
fn memory_that_runs_out_between_two_tokens_is_an_error_that_leaves_the_model_whole() {
    let model = open();
    let context = model.context().clone();
    let visual = look(&model, &mut clip(140, 140, 16, 2.0));
    for selection in [None, Some(Selection::grounding(6, 0.25)), Some(Selection::prune_vid(6, 0.25))] {
        let asked = Question { selection, ..question("Which object appears first?") };
        let good = answer(&model, &[&visual], &asked).unwrap();
        assert!(good.ids.len() > 3, "{good:?}");
        context.trim();
        let live = context.memory().live;
        let mut tokens = 0;
        let short = block_on(model.answer(&[&visual], &asked, |event| {
            tokens += usize::from(matches!(event, Event::Token { .. }));
            if tokens == 2 {
                context.trim();
                context.set_memory_budget(Some(context.memory().live));
            }
            ControlFlow::Continue(())
        }));
        context.set_memory_budget(None);
        assert!(matches!(&short, Err(Error::OutOfMemory { limit: Some(_), .. })), "{short:?}");
        assert_eq!(tokens, 2);
        context.trim();
        assert_eq!(context.memory().live, live);
        assert_eq!(answer(&model, &[&visual], &asked).unwrap(), good);
    }
}

#[test]
fn a_video_and_an_image_stand_in_one_prompt() {
    let model = open();
    let video = look(&model, &mut clip(140, 140, 8, 2.0));
    let pixels: Vec<u8> = (0..56 * 84 * 3).map(|i| (i % 251) as u8).collect();
    let image = model.look_at_image(&RgbFrame::new(56, 84, &pixels).unwrap()).unwrap();
    assert!(image.step_times().is_empty() && image.second_per_grid.is_none());
    let asked =
        Question { selection: Some(Selection::grounding(6, 0.3)), scores: true, ..question("What is this?") };
    let (before, behind) = (
        answer(&model, &[&image, &video], &asked).unwrap(),
        answer(&model, &[&video, &image], &asked).unwrap(),
    );
    let units: usize = video.units.iter().product();
    for got in [&before, &behind] {
        // Of the image all tokens stay, and none is called the video's.
        assert_eq!((got.video_tokens, got.scores[0].len()), (units, units));
        assert!(got.kept.as_ref().unwrap().iter().all(|t| t.video == 0 && t.step < video.units[0]));
    }
    let two = answer(&model, &[&video, &video], &asked).unwrap();
    assert_eq!((two.video_tokens, two.scores.len()), (2 * units, 2));
    assert!(two.kept.unwrap().iter().any(|t| t.video == 1));
    let alone = answer(&model, &[&image], &Question { selection: None, ..asked.clone() }).unwrap();
    assert_eq!(alone.video_tokens, 0);
    // Beside a larger one an image stays what it is, in either order: nothing is brought to one size.
    let pixels: Vec<u8> = (0..140 * 112 * 3).map(|i| (i % 241) as u8).collect();
    let larger = model.look_at_image(&RgbFrame::new(140, 112, &pixels).unwrap()).unwrap();
    assert_ne!(larger.units, image.units);
    let asked_of_all = Question { selection: None, ..asked.clone() };
    for visuals in [[&image, &larger], [&larger, &image]] {
        let (expanded, positions) = model.prompt(&visuals, &asked_of_all).unwrap();
        let pads: Vec<usize> = expanded
            .ids
            .chunk_by(|a, b| a == b)
            .filter(|run| run[0] == model.model().config().tokens.image)
            .map(<[u32]>::len)
            .collect();
        assert_eq!(pads, visuals.map(|v| v.units.iter().product::<usize>()));
        assert_eq!(positions.rows[0].len(), expanded.ids.len());
        answer(&model, &visuals, &asked_of_all).unwrap();
    }
    assert!(answer(&model, &[&image], &asked).unwrap_err().to_string().contains("no video"));
    assert!(answer(&model, &[], &Question { selection: None, ..asked }).is_ok());
}

#[test]
fn odd_videos_are_answered_or_refused_in_words() {
    let model = open();
    let asked = Question { max_tokens: 2, ..Question::new("What is this?") };
    let seen = |mut clip: Clip, look: Look| block_on(model.look(&mut clip, &look, go));
    let plain = model.defaults().look();
    // One frame, one pixel, wider than high and higher than wide, an odd number of frames.
    for (height, width, frames, fps) in
        [(140, 140, 1, 2.0), (1, 1, 4, 2.0), (60, 240, 6, 2.0), (240, 60, 6, 2.0), (140, 140, 5, 2.0)]
    {
        let visual = seen(clip(height, width, frames, fps), plain).unwrap();
        assert_eq!(visual.size, Size { height, width });
        assert_eq!(visual.resized.width > visual.resized.height, width > height);
        answer(&model, &[&visual], &asked).unwrap();
    }
    // Five and more frames a second share positions, and a frame in four seconds has times far apart.
    let rate = model.model().config().vision.tokens_per_second;
    let mut fast = plain;
    fast.sampling.fps = 10.0;
    let visual = seen(clip(140, 140, 16, 10.0), fast).unwrap();
    let warnings = visual.warnings(rate, MropeRule::V4_49).unwrap();
    assert!(warnings[0].contains("share their time"), "{warnings:?}");
    answer(&model, &[&visual], &asked).unwrap();
    let mut slow = plain;
    (slow.sampling.fps, slow.sampling.max_frames) = (0.25, 768);
    let visual = seen(clip(140, 140, 480, 6.0), slow).unwrap();
    assert!((visual.second_per_grid.unwrap() - 8.0).abs() < 0.1, "{:?}", visual.second_per_grid);
    assert_eq!((visual.times[0], *visual.times.last().unwrap()), (0.0, 479.0 / 6.0));
    assert!(visual.warnings(rate, MropeRule::V4_49).unwrap().is_empty());
    answer(&model, &[&visual], &asked).unwrap();
    // A range of it.
    let mut part = plain;
    (part.start, part.end) = (Some(2.0), Some(5.0));
    let visual = seen(clip(140, 140, 40, 4.0), part).unwrap();
    assert!(visual.times.iter().all(|t| (2.0..=5.0).contains(t)), "{:?}", visual.times);
    // What cannot be.
    part.end = Some(1.0);
    assert!(seen(clip(140, 140, 40, 4.0), part).unwrap_err().to_string().contains("start and end"));
    assert!(Clip::new(Size { height: 2, width: 2 }, 2.0, vec![]).is_err());
    assert!(Clip::new(Size { height: 2, width: 2 }, 0.0, vec![vec![0; 12]]).is_err());
    assert!(
        Clip::new(Size { height: 2, width: 2 }, 1.0, vec![vec![0; 11]])
            .unwrap_err()
            .to_string()
            .contains("frame 0")
    );
    let stretched = Clip::new(Size { height: 1, width: 300 }, 1.0, vec![vec![0; 900]]).unwrap();
    assert!(seen(stretched, plain).unwrap_err().to_string().contains("times apart"));
}

/// A source that does not do what it says.
struct Liar(SourceInfo);

impl FrameSource for Liar {
    fn info(&self) -> SourceInfo {
        self.0
    }

    fn frames(
        &mut self,
        indices: &[usize],
        each: &mut dyn FnMut(usize, f64, &RgbFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        for &index in indices {
            match index {
                0 | 1 => each(index, 0.0, &RgbFrame::new(10, 10, &[0; 300]).unwrap())?,
                2 => return Err(Error::input("frame 2", "torn")),
                _ => {}
            }
        }
        Ok(())
    }
}

#[test]
fn what_cannot_be_asked_is_refused_before_anything_is_computed() {
    let model = open();
    let visual = look(&model, &mut clip(140, 140, 16, 2.0));
    let refused = |asked: &Question, words: &str| {
        let computed = |_: &foveal::models::qwen2_5_vl::Seen<'_>| panic!("a block ran");
        let error = block_on(model.answer_watched(&[&visual], asked, go, computed)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(&question("What?<|im_end|>"), "special token `<|im_end|>`");
    refused(&question("<|video_pad|>"), "special token `<|video_pad|>`");
    refused(&Question { system: Some("<|im_start|>".into()), ..question("a") }, "system prompt");
    refused(&Question { max_tokens: 0, ..question("a") }, "max_tokens");
    for max_tokens in [4000, usize::MAX] {
        refused(&Question { max_tokens, ..question("a") }, "of 1024");
    }
    refused(&question(&"very long ".repeat(2000)), "of 1024");
    refused(&Question { chunk: 0, ..question("a") }, "at a time");
    refused(&Question { selection: Some(Selection::grounding(6, 1.5)), ..question("a") }, "a share of 1.5");
    refused(&Question { selection: Some(Selection::flex_select(60, 0.5)), ..question("a") }, "some of 6");
    let mut hot = question("a");
    hot.sampling.temperature = f32::NAN;
    refused(&hot, "temperature");
    let info = |height| SourceInfo { frames: 4, fps: 2.0, size: Size { height, width: 10 } };
    let lied = |info, words: &str| {
        let error = block_on(model.look(&mut Liar(info), &Look::default(), go)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    lied(info(20), "expected 20 × 10 (height × width), found 10 × 10");
    lied(info(10), "frame 2: torn");
    // Frames that are not shown at all: the last four of six hundred, of which none comes.
    lied(SourceInfo { frames: 600, fps: 100.0, ..info(10) }, "where 2 were asked for");
}

#[test]
fn a_folder_that_does_not_fit_together_is_refused_by_name() {
    let context = block_on(Context::new(ContextOptions::default())).unwrap();
    let copy = std::env::temp_dir().join(format!("foveal-qa-folder-{}", std::process::id()));
    let with = |file: &str, change: &dyn Fn(String) -> Option<String>| {
        std::fs::create_dir_all(&copy).unwrap();
        for entry in std::fs::read_dir(folder()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        match change(std::fs::read_to_string(folder().join(file)).unwrap_or_default()) {
            Some(text) => std::fs::write(copy.join(file), text).unwrap(),
            None => std::fs::remove_file(copy.join(file)).unwrap(),
        }
        let opened = VideoQa::open(&context, &copy);
        std::fs::remove_dir_all(&copy).unwrap();
        opened.map(|_| ()).unwrap_err().to_string()
    };
    let gone = |_: String| None;
    assert!(with("config.json", &gone).contains("config.json"));
    assert!(with("tokenizer.json", &gone).contains("tokenizer.json"));
    assert!(with("model.safetensors", &gone).contains("safetensors"));
    let moved = |text: String| Some(text.replace("\"video_token_id\": 399", "\"video_token_id\": 390"));
    assert!(with("config.json", &moved).contains("<|video_pad|>"));
    let bent = |_: String| Some(r#"{"chat_template": "{% for %}"}"#.to_owned());
    assert!(with("chat_template.json", &bent).contains("line 1"));
    assert!(
        with("generation_config.json", &|_| Some(r#"{"eos_token_id": "x"}"#.into())).contains("eos_token_id")
    );
}

#[test]
fn a_plan_holds_what_a_run_needs() {
    let model = open();
    let context = model.context();
    let mut film = clip(140, 140, 16, 2.0);
    for selection in [None, Some(Selection::grounding(6, 0.25)), Some(Selection::prune_vid(6, 0.25))] {
        context.trim();
        context.reset_peak();
        let before = context.memory().live;
        let visual = look(&model, &mut film);
        let asked = Question { selection: selection.clone(), ..question("Which object appears first?") };
        let got = answer(&model, &[&visual], &asked).unwrap();
        // Weights are most of it and would hide the rest.
        let used = context.memory().peak - before;
        let request = QaPlanRequest {
            text_tokens: got.prompt_tokens - got.video_tokens,
            max_tokens: asked.max_tokens,
            selection,
            ..QaPlanRequest::new(model.model().config().clone(), visual.grid)
        };
        let plan = block_on(memory_plan(&request, context.caps().clone())).unwrap();
        let difference = used.abs_diff(plan.peak() - plan.weights) as f64 / used as f64;
        // In the plan all text stands behind the video, so small pieces of the prompt have other sizes.
        assert!(difference < 0.02, "planned {plan}, used {used}");
        assert_eq!(plan.weights, before, "{plan}");
        assert!(plan.require(plan.peak()).is_ok());
        assert!(plan.require(plan.peak() - 1).unwrap_err().to_string().contains("memory plan"));
    }
}
