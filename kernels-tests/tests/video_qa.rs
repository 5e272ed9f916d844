//! Qwen2.5-VL with token selection on this machine's adapter: what is computed some at a time is what is computed at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::kernels::attention::Mass;
use foveal::kernels::token::embedding_of;
use foveal::models::qwen2_5_vl::{
    MropePositions, MropeRule, Placement, QwenVl, QwenVlConfig, QwenVlWeights, Seen, VideoGrid,
    mrope_positions,
};
use foveal::nn::Precision;
use foveal::pipelines::video_qa::selection::choose;
use foveal::pipelines::video_qa::{
    Choice, Prefill, ScoreRows, ScoreSource, Scoring, Selection, Session, VideoTokens, When,
};
use foveal::weights::WeightStore;
use foveal::{Context, ContextOptions, Dtype, Error, Result, Tensor, block_on};
use kernels_tests::golden::{Case, new_context};
use kernels_tests::root;
use rand::RngExt;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

/// A small model with random weights, and a prompt with a video in it.
struct Prompt {
    context: Context,
    model: QwenVl,
    embeddings: Tensor,
    positions: MropePositions,
    tokens: VideoTokens,
}

fn case() -> Case {
    Case::open(root().join("kernels-tests/golden/qwenvl_forward_a")).unwrap()
}

fn model(context: &Context, precision: Precision, placement: Placement) -> QwenVl {
    let folder = case().dir.join("model");
    let config = QwenVlConfig::open(&folder).unwrap();
    let weights = QwenVlWeights::new(&WeightStore::open(&folder).unwrap(), config).unwrap();
    QwenVl::new(context, &weights, precision, placement).unwrap()
}

fn visual(context: &Context, case: &Case, model: &QwenVl) -> Tensor {
    let grid = case.usizes("grid_thw").unwrap();
    let plan = model.vision.plan(grid[1], grid[2]).unwrap();
    let patches = case.input("pixel_values_videos").unwrap();
    let slices = patches.data().chunks(plan.rows() * model.vision.patch_values());
    let slices: Vec<Tensor> = slices.map(|slice| model.vision.encode(&plan, slice).unwrap()).collect();
    let width = model.config().hidden_size;
    let whole = Tensor::empty(context, [slices.len() * plan.tokens(), width], slices[0].dtype()).unwrap();
    for (i, slice) in slices.iter().enumerate() {
        slice.copy_to(&whole.narrow(i * plan.tokens(), plan.tokens()).unwrap()).unwrap();
    }
    whole
}

fn prompt_with(precision: Precision, placement: Placement) -> Prompt {
    let (case, context) = (case(), new_context().unwrap());
    let model = model(&context, precision, placement);
    let visual = visual(&context, &case, &model);
    let ids: Vec<u32> = case.ints("input_ids").unwrap().iter().map(|&id| id as u32).collect();
    let grid: [usize; 3] = case.usizes("grid_thw").unwrap().try_into().unwrap();
    let video = VideoGrid { grid, second_per_grid: case.input("second_per_grid_ts").unwrap().data()[0] };
    let positions = mrope_positions(model.config(), &ids, &[], &[video], MropeRule::V4_49).unwrap();
    let embeddings = model.embed(&ids, &[&visual]).unwrap();
    let first = case.usize("video_token_start").unwrap();
    let per_step = case.usize("num_video_tokens").unwrap() / grid[0];
    let tokens = VideoTokens::of_one(ids.len(), first, grid[0], per_step);
    Prompt { context, model, embeddings, positions, tokens }
}

fn prompt() -> Prompt {
    prompt_with(Precision::F32, Placement::Resident)
}

impl Prompt {
    fn session(&self, more: usize) -> Session<'_> {
        let positions = self.positions.next as usize + more;
        Session::new(&self.model.text, self.tokens.length + more, positions).unwrap()
    }

    fn prefill<'a>(&'a self, selection: Option<&'a Selection>, chunk: usize) -> Prefill<'a> {
        let Self { embeddings, positions, tokens, .. } = self;
        Prefill { embeddings, positions, tokens, selection, chunk }
    }

    /// Logits of all kept tokens, and behind some that follow.
    fn logits(&self, selection: Option<&Selection>, chunk: usize, then: &[u32]) -> Vec<Vec<f32>> {
        let mut session = self.session(then.len());
        let done = block_on(session.prefill(&self.prefill(selection, chunk), |_| Ok(()))).unwrap();
        let rows = done.hidden.dims()[0];
        let all = block_on(self.model.text.logits(&done.hidden, 0..rows).unwrap().to_vec()).unwrap();
        let mut logits: Vec<Vec<f32>> = all.chunks(all.len() / rows).map(<[f32]>::to_vec).collect();
        let last = block_on(session.last_logits(&done).unwrap().to_vec()).unwrap();
        // A row alone goes another way through the products than among others; f16 has 11 bits of each sum.
        near(
            &last,
            &logits[rows - 1],
            if self.embeddings.dtype() == Dtype::F32 { 1e-4 } else { 1e-2 },
            "the last row",
        );
        for &id in then {
            logits.push(block_on(session.step(id, &mut |_| Ok(())).unwrap().to_vec()).unwrap());
        }
        logits
    }
}

fn near(a: &[f32], b: &[f32], bound: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= bound, "{what}: {worst}");
}

fn best(logits: &[f32]) -> usize {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    best.unwrap().0
}

fn all_near(a: &[Vec<f32>], b: &[Vec<f32>], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        near(a, b, 1e-4, &format!("{what}, row {i}"));
        assert_eq!(best(a), best(b), "{what}, row {i}");
    }
}

fn attention_of(selection: &mut Selection) -> &mut Scoring {
    match &mut selection.source {
        ScoreSource::Attention(scoring) => scoring,
        other => panic!("{other:?}"),
    }
}

fn selections() -> Vec<(&'static str, Selection)> {
    let scoring =
        |reduce, rows| Scoring { layers: vec![1, 2], rows, reduce, heads: Vec::new(), contrast: false };
    let behind = |compact| When::Behind { layer: 2, compact };
    vec![
        ("fast_v", Selection::fast_v(0.5)),
        ("flex_select", Selection::flex_select(4, 0.3)),
        ("prune_vid", Selection::prune_vid(4, 0.4)),
        ("grounding", Selection::grounding(4, 0.25)),
        ("contrast", Selection::grounding(4, 0.25).with_contrast()),
        ("grounding in place", Selection::grounding(4, 0.25).in_place(4)),
        ("fast_v in place", Selection::fast_v(0.5).in_place(4)),
        ("change", Selection::change(0.3)),
        ("uniform", Selection::uniform(0.3)),
        ("random", Selection::random(0.3, 7)),
        ("uniform behind a block", Selection { when: behind(true), ..Selection::uniform(0.5) }),
        (
            "mass",
            Selection {
                source: ScoreSource::Attention(scoring(Mass::Mean, ScoreRows::BehindVideo)),
                choice: Choice::Mass(0.6),
                when: behind(true),
            },
        ),
        (
            "none of the video",
            Selection {
                source: ScoreSource::Attention(scoring(Mass::Max, ScoreRows::Last)),
                choice: Choice::Count(0),
                when: behind(false),
            },
        ),
    ]
}

#[test]
fn a_prompt_in_chunks_is_the_whole_prompt() {
    let prompt = prompt();
    let whole = prompt.logits(None, 1000, &[3, 5]);
    for chunk in [1, 2, 7, 50, 76, 77] {
        all_near(&prompt.logits(None, chunk, &[3, 5]), &whole, &format!("chunks of {chunk}"));
    }
    for (name, selection) in selections() {
        let whole = prompt.logits(Some(&selection), 1000, &[3, 5, 8]);
        for chunk in [1, 13, 40] {
            let chunked = prompt.logits(Some(&selection), chunk, &[3, 5, 8]);
            all_near(&chunked, &whole, &format!("{name}, chunks of {chunk}"));
        }
    }
}

#[test]
fn one_token_after_the_other_is_the_whole_prompt() {
    let (prompt, case) = (prompt(), case());
    let ids: Vec<u32> = case.ints("input_ids").unwrap().iter().map(|&id| id as u32).collect();
    let whole = prompt.logits(None, 1000, &[]);
    let n = ids.len();
    for split in [prompt.tokens.end() + 1, n - 3, n - 1] {
        let rows = prompt.positions.rows.each_ref().map(|row| row[..split].to_vec());
        let positions = MropePositions::new(rows).unwrap();
        let embeddings = prompt.embeddings.narrow(0, split).unwrap();
        let tokens = VideoTokens { length: split, ..prompt.tokens.clone() };
        let head = Prefill {
            embeddings: &embeddings,
            positions: &positions,
            tokens: &tokens,
            ..prompt.prefill(None, 20)
        };
        let mut session = prompt.session(0);
        block_on(session.prefill(&head, |_| Ok(()))).unwrap();
        for (i, &id) in ids.iter().enumerate().skip(split) {
            let logits = block_on(session.step(id, &mut |_| Ok(())).unwrap().to_vec()).unwrap();
            near(&logits, &whole[i], 1e-4, &format!("token {i} behind {split}"));
            assert_eq!(best(&logits), best(&whole[i]));
        }
        assert_eq!(session.next_position(), prompt.positions.next);
    }
}

/// Decoding behind a second pass is the pass over the kept tokens and those that followed, given as a prompt of its own.
#[test]
fn decoding_behind_a_second_pass_sees_the_kept_tokens_alone() {
    let prompt = prompt();
    let selection = Selection::grounding(4, 0.25);
    let then = [9, 4, 7];
    let decoded = prompt.logits(Some(&selection), 19, &then);

    let mut session = prompt.session(then.len());
    let done = block_on(session.prefill(&prompt.prefill(Some(&selection), 19), |_| Ok(()))).unwrap();
    let ids = done.kept.unwrap().ids;
    let host = block_on(ids.to_u32()).unwrap();
    assert_eq!(host.len(), 17 + 15);
    let kept = embedding_of(&prompt.embeddings, &ids).unwrap();
    let width = kept.dims()[1];
    let all = Tensor::empty(&prompt.context, [host.len() + then.len(), width], kept.dtype()).unwrap();
    kept.copy_to(&all.narrow(0, host.len()).unwrap()).unwrap();
    prompt.model.text.embed(&then).unwrap().copy_to(&all.narrow(host.len(), then.len()).unwrap()).unwrap();
    let rows = prompt.positions.rows.each_ref().map(|row| {
        let next = prompt.positions.next..prompt.positions.next + then.len() as u32;
        host.iter().map(|&id| row[id as usize]).chain(next).collect::<Vec<u32>>()
    });
    let positions = MropePositions::new(rows).unwrap();
    let tokens = VideoTokens { length: all.dims()[0], groups: Vec::new(), videos: Vec::new() };
    let own =
        Prefill { embeddings: &all, positions: &positions, tokens: &tokens, selection: None, chunk: 100 };
    let mut session = prompt.session(then.len());
    let done = block_on(session.prefill(&own, |_| Ok(()))).unwrap();
    let logits = prompt.model.text.logits(&done.hidden, 0..all.dims()[0]).unwrap();
    let logits = block_on(logits.to_vec()).unwrap();
    let logits: Vec<Vec<f32>> = logits.chunks(logits.len() / decoded.len()).map(<[f32]>::to_vec).collect();
    all_near(&decoded, &logits, "a prompt of the kept tokens");
}

#[test]
fn what_is_left_out_takes_no_cache() {
    let prompt = prompt();
    let lens = |selection: Option<&Selection>| {
        let mut session = prompt.session(0);
        block_on(session.prefill(&prompt.prefill(selection, 30), |_| Ok(()))).unwrap();
        let lens: Vec<usize> = (0..4).map(|layer| session.cache().len(layer)).collect();
        (lens, session.cache().bytes_in_use())
    };
    let (all, bytes) = lens(None);
    assert_eq!(all, [77; 4]);
    assert_eq!(bytes, 4 * 77 * 2 * 2 * 16 * 4);
    assert_eq!(lens(Some(&Selection::flex_select(4, 0.3))), (vec![17 + 18; 4], 4 * 35 * 2 * 2 * 16 * 4));
    assert_eq!(lens(Some(&Selection::fast_v(0.5))).0, [77, 77, 17 + 30, 17 + 30]);
    assert_eq!(lens(Some(&Selection::prune_vid(4, 0.4))).0, [17 + 24; 4]);
}

#[test]
fn blocks_from_the_file_are_the_blocks_on_the_device() {
    let resident = prompt().logits(None, 30, &[3]);
    assert_eq!(prompt_with(Precision::F32, Placement::Streamed).logits(None, 30, &[3]), resident);
    // This model's layers of 54 do not fit bf16, which lies two in a word.
    let Prompt { context, .. } = prompt();
    let folder = case().dir.join("model");
    let config = QwenVlConfig::open(&folder).unwrap();
    let weights = QwenVlWeights::new(&WeightStore::open(&folder).unwrap(), config).unwrap();
    let error = QwenVl::new(&context, &weights, Precision::BF16_WEIGHTS, Placement::Resident).unwrap_err();
    assert!(error.to_string().contains("54 × 40"), "{error}");
    if context.caps().f16 {
        let narrow = prompt_with(Precision::F16, Placement::Resident).logits(None, 30, &[3]);
        let (a, b) = (resident.concat(), narrow.concat());
        let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let off = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied());
        assert!(off > 0.0 && off < 0.02, "{off}");
    }
}

/// The selection as its definition says it, on the host.
fn expected(scores: &[f32], tokens: &VideoTokens, choice: Choice) -> Vec<u32> {
    let best = |ids: Vec<usize>, k: usize| {
        let mut ids = ids;
        ids.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        ids.truncate(k);
        ids
    };
    let video: Vec<usize> = tokens.groups.iter().cloned().flatten().collect();
    let count = |share: f32| (f64::from(share) * video.len() as f64).round() as usize;
    // Beyond what each step has at least, one after the other is given one more.
    let per_step = |k: usize, least: &dyn Fn(usize) -> usize| -> Vec<usize> {
        let sizes: Vec<usize> = tokens.groups.iter().map(|g| g.len()).collect();
        let mut quotas: Vec<usize> = sizes.iter().map(|&size| least(size)).collect();
        let mut turn = 0;
        while quotas.iter().sum::<usize>() < k {
            let step = turn % sizes.len();
            quotas[step] += usize::from(quotas[step] < sizes[step]);
            turn += 1;
        }
        tokens.groups.iter().zip(quotas).flat_map(|(g, quota)| best(g.clone().collect(), quota)).collect()
    };
    let kept = match choice {
        Choice::Count(k) => best(video.clone(), k),
        Choice::Share(share) => best(video.clone(), count(share)),
        Choice::PerStep(k) => per_step(k, &|_| 0),
        Choice::SharePerStep(share) => {
            let k = count(share);
            per_step(k, &|size| k * size / video.len())
        }
        Choice::Mass(share) => {
            let order = best(video.clone(), video.len());
            let total: f64 = order.iter().map(|&i| f64::from(scores[i])).sum();
            let mut sum = 0.0;
            let needed = order.iter().take_while(|&&i| {
                let more = sum < f64::from(share) * total;
                sum += f64::from(scores[i]);
                more
            });
            needed.copied().collect()
        }
    };
    let mut ids: Vec<u32> =
        (0..tokens.length).filter(|i| !video.contains(i) || kept.contains(i)).map(|i| i as u32).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_choice_is_what_its_definition_says() {
    let context = new_context().unwrap();
    let mut rng = Pcg64::seed_from_u64(7);
    for round in 0..60 {
        // Steps of one or two sizes, with text before, between and behind, or none.
        let (mut groups, mut at) = (Vec::new(), rng.random_range(0..4));
        for i in 0..rng.random_range(1..7) {
            let size = if round % 2 == 0 { 6 } else { 3 + i % 3 };
            groups.push(at..at + size);
            at += size + if round % 3 == 0 { rng.random_range(0..3) } else { 0 };
        }
        let length = groups.last().map_or(0, |g| g.end) + rng.random_range(0..5);
        let tokens = VideoTokens { length, groups, videos: Vec::new() };
        let known = rng.random_range(tokens.end()..=length);
        // Coarse, so that many are equal.
        let scores: Vec<f32> = (0..known).map(|_| f32::from(rng.random_range(1u8..9)) / 16.0).collect();
        let device = Tensor::from_f32(&context, [known], &scores).unwrap();
        let all = tokens.count();
        let k = rng.random_range(0..=all);
        let share = k as f32 / all as f32;
        let choices = [Choice::Count(k), Choice::PerStep(k), Choice::Share(share)];
        for choice in choices.into_iter().chain([Choice::SharePerStep(0.5), Choice::Mass(0.71)]) {
            if expected(&scores, &tokens, choice).is_empty() {
                continue;
            }
            let kept = block_on(choose(&device, &tokens, choice)).unwrap();
            let ids = block_on(kept.ids.to_u32()).unwrap();
            assert_eq!(ids, expected(&scores, &tokens, choice), "{choice:?} of {tokens:?} {scores:?}");
            assert_eq!(kept.video, ids.len() - (length - all));
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_the_session_whole() {
    let prompt = prompt();
    let n = prompt.tokens.length;
    let mut session = prompt.session(1);
    let whole = prompt.prefill(None, 30);
    let mut refuse = |prefill: &Prefill<'_>, words: &str| {
        let error = block_on(session.prefill(prefill, |_| Ok(()))).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(session.cache().is_empty());
    };
    refuse(&Prefill { chunk: 0, ..whole.clone() }, "0 at a time");
    let short = VideoTokens { length: n - 1, ..prompt.tokens.clone() };
    refuse(&Prefill { tokens: &short, ..whole.clone() }, "77 embeddings");
    let with = |change: &dyn Fn(&mut Selection)| {
        let mut selection = Selection::fast_v(0.5);
        change(&mut selection);
        selection
    };
    let cases: [(Selection, &str); 9] = [
        (with(&|s| s.choice = Choice::Share(1.5)), "a share of 1.5"),
        (with(&|s| s.choice = Choice::Mass(f32::NAN)), "a share of NaN"),
        (with(&|s| s.choice = Choice::Count(61)), "61 of 60"),
        (with(&|s| attention_of(s).layers = vec![4]), "blocks [4]: some of 4"),
        (with(&|s| attention_of(s).layers.clear()), "blocks []: some of 4"),
        (with(&|s| attention_of(s).heads = vec![1.0; 3]), "3 weights for 4 heads"),
        (with(&|s| attention_of(s).rows = ScoreRows::These(60..77)), "which ends at 67"),
        (with(&|s| attention_of(s).rows = ScoreRows::These(70..78)), "rows 70..78"),
        (with(&|s| s.when = When::Behind { layer: 0, compact: false }), "the first 2 are to see all tokens"),
    ];
    for (selection, words) in &cases {
        refuse(&Prefill { selection: Some(selection), ..whole.clone() }, words);
    }
    let none = VideoTokens { length: n, groups: Vec::new(), videos: Vec::new() };
    let selection = Selection::fast_v(0.5);
    refuse(
        &Prefill { tokens: &none, selection: Some(&selection), ..whole.clone() },
        "a selection needs some",
    );
    // A watcher's error, in the middle of the prompt.
    let mut calls = 0;
    let failing = block_on(session.prefill(&whole, |_: &Seen<'_>| -> Result<()> {
        calls += 1;
        if calls < 6 { Ok(()) } else { Err(Error::input("watcher", "enough")) }
    }));
    assert!(failing.unwrap_err().to_string().contains("enough") && session.cache().is_empty());
    // And still it can be used.
    let done = block_on(session.prefill(&whole, |_| Ok(()))).unwrap();
    let expected = prompt.logits(None, 1000, &[3]);
    near(
        &block_on(session.last_logits(&done).unwrap().to_vec()).unwrap(),
        &expected[n - 1],
        1e-4,
        "after errors",
    );
    assert!(
        block_on(session.prefill(&whole, |_| Ok(()))).unwrap_err().to_string().contains("has one already")
    );
    // A token that fails part of the way is not there.
    let error =
        session.step(3, &mut |seen| if seen.layer < 2 { Ok(()) } else { Err(Error::input("w", "stop")) });
    assert!(error.unwrap_err().to_string().contains("stop"));
    assert!(session.step(160, &mut |_| Ok(())).is_err());
    near(
        &block_on(session.step(3, &mut |_| Ok(())).unwrap().to_vec()).unwrap(),
        &expected[n],
        1e-4,
        "a token again",
    );
    assert!(session.step(3, &mut |_| Ok(())).unwrap_err().to_string().contains("position"));
    assert!(Session::new(&prompt.model.text, 0, 10).is_err());
    assert!(Session::new(&prompt.model.text, 10, 5000).unwrap_err().to_string().contains("at up to 4096"));
}

#[test]
fn prompts_and_patches_of_other_sizes_are_refused() {
    let Prompt { context, model, .. } = prompt();
    let ids = [1, 157, 157, 2];
    let rows = |n: usize| Tensor::from_f32(&context, [n, 64], &vec![0.0; n * 64]).unwrap();
    assert!(model.embed(&ids, &[&rows(2)]).is_ok());
    for visuals in [&[][..], &[&rows(1)], &[&rows(3)], &[&rows(2), &rows(1)]] {
        assert!(model.embed(&ids, visuals).unwrap_err().to_string().contains("for 2 placeholders"));
    }
    // However the tokens are divided among visuals and runs of placeholders.
    let values: Vec<f32> = (0..5 * 64).map(|i| i as f32).collect();
    let all = Tensor::from_f32(&context, [5, 64], &values).unwrap();
    let ids_of_two = [1, 157, 157, 157, 2, 157, 157];
    let embedded =
        |visuals: &[&Tensor]| block_on(model.embed(&ids_of_two, visuals).unwrap().to_vec()).unwrap();
    let whole = embedded(&[&all]);
    assert_eq!((&whole[64..4 * 64], &whole[5 * 64..]), (&values[..3 * 64], &values[3 * 64..]));
    for split in 1..5 {
        let (one, two) = (all.narrow(0, split).unwrap(), all.narrow(split, 5 - split).unwrap());
        assert_eq!(embedded(&[&one, &two]), whole, "{split}");
    }
    assert!(model.embed(&[], &[]).is_err());
    assert!(model.embed(&[160], &[]).unwrap_err().to_string().contains("no row 160"));
    assert!(model.vision.plan(0, 4).is_err() && model.vision.plan(3, 4).is_err());
    let plan = model.vision.plan(4, 6).unwrap();
    let error = model.vision.encode(&plan, &[0.0; 7]).unwrap_err().to_string();
    assert!(error.contains("7 values for 24 patches of 1176 each"), "{error}");
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused_by_name() {
    let folder = case().dir.join("model");
    let config = QwenVlConfig::open(&folder).unwrap();
    let store = WeightStore::open(&folder).unwrap();
    let refused = |change: &dyn Fn(&mut QwenVlConfig)| {
        let mut config = config.clone();
        change(&mut config);
        QwenVlWeights::new(&store, config).unwrap_err().to_string()
    };
    assert!(refused(&|c| c.layers = 5).contains("layers.4.input_layernorm.weight"));
    assert!(refused(&|c| c.layers = 3).contains("layers.3"));
    assert!(refused(&|c| c.vision.depth = 2).contains("visual.blocks.2"));
    assert!(refused(&|c| c.vocab_size = 161).contains("embed_tokens.weight"));
    assert!(refused(&|c| c.tied = true).contains("tie_word_embeddings"));
    let other = WeightStore::zeros("other", [("a".to_owned(), vec![1])]);
    assert!(QwenVlWeights::new(&other, config).unwrap_err().to_string().contains("not Qwen2.5-VL"));
}

/// What a prefill of a prompt needs at most beyond weights and cache, planned at the widths of the 3B model.
fn planned_peak(selection: Option<&Selection>, tokens: &VideoTokens) -> u64 {
    let caps = block_on(Context::new(ContextOptions::default())).unwrap().caps().clone();
    let context = Context::plan(caps, ContextOptions::default());
    let mut config = QwenVlConfig::qwen2_5_vl_3b();
    (config.layers, config.vision.depth, config.vocab_size) = (6, 1, 1024);
    (config.tokens.image, config.tokens.video) = (1, 2);
    let (heads, hidden) = (config.heads, config.hidden_size);
    let weights = QwenVlWeights::planned(config);
    let model = QwenVl::new(&context, &weights, Precision::F32, Placement::Resident).unwrap();
    let n = tokens.length;
    let positions = MropePositions::new([(); 3].map(|()| (0..n as u32).collect())).unwrap();
    let embeddings = Tensor::empty(&context, [n, hidden], Dtype::F32).unwrap();
    let mut session = Session::new(&model.text, n, n).unwrap();
    assert_eq!(heads, 16);
    context.reset_peak();
    let before = context.memory().live;
    let prompt = Prefill { embeddings: &embeddings, positions: &positions, tokens, selection, chunk: 512 };
    let done = block_on(session.prefill(&prompt, |_| Ok(()))).unwrap();
    drop(done);
    context.memory().peak - before
}

#[test]
fn scores_need_no_memory_for_a_map() {
    // 32 steps of 170 tokens, and a long question.
    let rows = 600;
    let tokens = VideoTokens::of_one(15 + 5440 + rows, 15, 32, 170);
    let map = (16 * rows * tokens.length * 4) as u64;
    let whole = planned_peak(None, &tokens);
    for selection in [Selection::grounding(6, 0.25), Selection::prune_vid(6, 0.25)] {
        let selected = planned_peak(Some(&selection), &tokens);
        // The rows' own queries and results, and the kept tokens' embeddings beside all.
        let own = (2 * rows * 2048 * 4 + (tokens.length - 3 * 5440 / 4) * 2048 * 4) as u64;
        assert!(selected < whole + own + (1 << 20), "{selected} for {whole} without; rows and kept {own}");
        assert!(selected.saturating_sub(whole) < map / 4, "{selected} for {whole} without; a map {map}");
    }
}
