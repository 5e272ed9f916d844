//! Qwen2.5-VL: the whole model, and what token selection makes of it.

use super::super::{Case, Outputs};
use super::host;
use foveal::kernels::attention::{
    AttentionProblem, AttentionShape, Mask, Mass, Tables, attention, attention_columns,
};
use foveal::kernels::elementwise::slice;
use foveal::kernels::token::embedding_of;
use foveal::models::qwen2_5_vl::{
    MropePositions, MropeRule, Placement, QwenVl, QwenVlConfig, QwenVlWeights, Seen, VideoGrid, WindowOrder,
    mrope_positions,
};
use foveal::nn::Precision;
use foveal::pipelines::video_qa::selection::choose;
use foveal::pipelines::video_qa::{
    Choice, Prefill, ScoreReader, ScoreRows, ScoreSource, Scoring, Selection, Session, VideoTokens, When,
};
use foveal::weights::WeightStore;
use foveal::{Context, Dtype, HostTensor, Result, Tensor};
use std::path::Path;

/// Tokens that are computed at a time: no divisor of the prompts.
const CHUNK: usize = 23;

fn open(context: &Context, folder: &Path) -> Result<QwenVl> {
    let weights = QwenVlWeights::new(&WeightStore::open(folder)?, QwenVlConfig::open(folder)?)?;
    QwenVl::new(context, &weights, Precision::F32, Placement::Resident)
}

fn u32s(case: &Case, name: &str) -> Result<Vec<u32>> {
    let ids = case.ints(name)?.into_iter().map(u32::try_from).collect::<Result<_, _>>();
    ids.map_err(|e| case.malformed(format!("in/{name}: {e}")))
}

fn triple(case: &Case, values: &[usize]) -> Result<[usize; 3]> {
    values.try_into().map_err(|_| case.malformed(format!("{values:?} is no grid of three sizes")))
}

fn with_batch(tensor: HostTensor) -> Result<HostTensor> {
    let dims = [&[1], tensor.shape().dims()].concat();
    tensor.reshape(dims)
}

fn ids_of(rows: &[Vec<u32>; 3]) -> Vec<i64> {
    rows.iter().flatten().map(|&id| i64::from(id)).collect()
}

/// One head's map `(rows, keys)` behind a causal mask, from columns of single keys.
fn head_map(q: &Tensor, k: &Tensor, head: usize, kv_head: usize) -> Result<Vec<f32>> {
    const GROUPS: usize = 64;
    let (rows, keys, head_dim) = (q.dims()[0], k.dims()[0], q.dims()[2]);
    let q = slice(q, 1, head, 1)?.reshape([1, rows, 1, head_dim])?;
    let k = slice(k, 1, kv_head, 1)?.reshape([1, keys, 1, head_dim])?;
    let mut map = vec![0.0; rows * keys];
    for first in (0..keys).step_by(GROUPS) {
        let groups = GROUPS.min(keys - first);
        let shape = AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q: rows, seq_kv: keys, head_dim };
        let mut problem = AttentionProblem { mask: Mask::Causal, ..AttentionProblem::new(shape) };
        problem.readout.groups = groups;
        let mut columns = vec![0.0; groups * keys];
        (0..groups).for_each(|group| columns[group * keys + first + group] = 1.0);
        let tables = Tables::default().with_columns(columns).upload(q.context(), &problem)?;
        let stats = attention(&problem, &q, &k, &k, &tables)?.stats;
        let read = Tensor::zeros(q.context(), [1, groups, rows], Dtype::F32)?;
        attention_columns(&problem, &q, &k, &stats, &tables, &read)?;
        for (at, value) in host(&read)?.into_data().into_iter().enumerate() {
            map[at % rows * keys + first + at / rows] = value;
        }
    }
    Ok(map)
}

/// `qwenvl.forward`: windows, vision tower, positions by three rules, every block's output, some blocks' maps, logits.
pub(super) fn forward(context: &Context, case: &Case) -> Result<Outputs> {
    let model = open(context, &case.dir.join("model"))?;
    let c = model.config().clone();
    let grid = triple(case, &case.usizes("grid_thw")?)?;
    let mut out = Outputs::new();

    let order = WindowOrder::new(&c.vision, &[grid])?;
    let index: Vec<i64> = order.index.iter().map(|&i| i64::from(i)).collect();
    out.ints("window_index", [index.len()], &index);

    // A temporal slice at a time.
    let patches = case.input("pixel_values_videos")?;
    let plan = model.vision.plan(grid[1], grid[2])?;
    let per_slice = plan.rows() * model.vision.patch_values();
    let visual = Tensor::empty(context, [grid[0] * plan.tokens(), c.hidden_size], Dtype::F32)?;
    for (step, patches) in patches.data().chunks(per_slice).enumerate() {
        let tokens = model.vision.encode(&plan, patches)?;
        tokens.copy_to(&visual.narrow(step * plan.tokens(), plan.tokens())?)?;
    }
    out.tensor("vision", host(&visual)?);

    let ids = u32s(case, "input_ids")?;
    let second_per_grid = case.input("second_per_grid_ts")?.data()[0];
    let video = VideoGrid { grid, second_per_grid };
    let n = ids.len();
    let x = model.embed(&ids, &[&visual])?;
    out.tensor("inputs_embeds", with_batch(host(&x)?)?);

    let rules = [("", MropeRule::V4_49), ("_tf457", MropeRule::V4_57), ("_tf523", MropeRule::V5_23)];
    for (suffix, rule) in rules {
        let positions = mrope_positions(&c, &ids, &[], &[video], rule)?;
        if case.expects(&format!("position_ids{suffix}")) {
            out.ints(format!("position_ids{suffix}"), [3, 1, n], &ids_of(&positions.rows));
        }
        if rule == MropeRule::V4_57 {
            continue;
        }
        let table = model.text.rotary_table(positions.next as usize)?;
        let [t, h, w] = &positions.rows;
        let at = model.text.positions(&table, [t, h, w])?;
        let mut cache = model.text.cache(n)?;
        let mut maps = Vec::new();
        let mut watch = |seen: &Seen<'_>| {
            maps.push((seen.q.clone(), seen.k.to_owned_copy()?));
            Ok(())
        };
        let mut y = x.clone();
        let mut hidden = vec![y.clone()];
        for layer in 0..c.layers {
            y = model.text.run(&y, &at, &mut cache, layer..layer + 1, &mut watch)?;
            hidden.push(y.clone());
        }
        out.tensor(format!("logits{suffix}"), with_batch(host(&model.text.logits(&y, 0..n)?)?)?);
        if rule != MropeRule::V4_49 {
            continue;
        }
        out.ints("rope_delta", [1], &[positions.rope_delta()]);
        for (layer, y) in hidden.iter().enumerate() {
            // The last one is told behind the final norm.
            let y = if layer == c.layers { model.text.normed(y)? } else { y.clone() };
            out.tensor(format!("hidden_{layer}"), host(&y)?);
        }
        for layer in case.usizes("attn_layers")? {
            let Some((q, k)) = maps.get(layer) else {
                return Err(case.malformed("attn_layers past the last"));
            };
            let map = (0..c.heads).map(|head| head_map(q, k, head, head * c.kv_heads / c.heads));
            let map: Vec<f32> = map.collect::<Result<Vec<_>>>()?.concat();
            out.tensor(format!("attn_layer{layer}"), HostTensor::new([c.heads, n, n], map)?);
        }
    }
    Ok(out)
}

/// `qwenvl.select`: scores, selections over all and by temporal steps, and the passes behind them.
pub(super) fn select(context: &Context, case: &Case) -> Result<Outputs> {
    let model = open(context, &case.dir.join(case.str("model")?))?;
    let c = model.config();
    let (first, steps) = (case.usize("video_token_start")?, case.usize("groups")?);
    let per_step = case.usize("tokens_per_group")?;
    let x = case.input("inputs_embeds")?;
    let n = x.shape().dims()[1];
    let x = Tensor::from_host(context, &x.reshape([n, c.hidden_size])?)?;
    let rows: Vec<Vec<u32>> = u32s(case, "position_ids")?.chunks(n).map(<[u32]>::to_vec).collect();
    let rows: [Vec<u32>; 3] =
        rows.try_into().map_err(|_| case.malformed("in/position_ids are not of three axes"))?;
    let positions = MropePositions::new(rows)?;
    let tokens = VideoTokens::of_one(n, first, steps, per_step);
    let mut out = Outputs::new();

    let of_video = |kept: &Tensor| -> Result<Vec<i64>> {
        let ids = foveal::block_on(kept.to_u32())?.into_iter().map(i64::from);
        let video = first as i64..(first + steps * per_step) as i64;
        Ok(ids.filter(|id| video.contains(id)).map(|id| id - first as i64).collect())
    };
    let chosen = |out: &mut Outputs, scores: &Tensor, name: &str, k: usize| -> Result<()> {
        for (kind, choice) in [("topk", Choice::Count(k)), ("quota", Choice::PerStep(k))] {
            let kept = foveal::block_on(choose(scores, &tokens, choice))?;
            let ids = of_video(&kept.ids)?;
            out.ints(format!("{kind}_{name}"), [ids.len()], &ids);
        }
        Ok(())
    };

    let mut readers = Vec::new();
    for layer in case.usizes("score_layers")? {
        for (name, rows) in [("last", ScoreRows::Last), ("post", ScoreRows::BehindVideo)] {
            for (kind, reduce) in [("mean", Mass::Mean), ("max", Mass::Max)] {
                let scoring = Scoring {
                    layers: vec![layer],
                    rows: rows.clone(),
                    reduce,
                    heads: Vec::new(),
                    contrast: false,
                };
                readers
                    .push((format!("layer{layer}_{name}_{kind}"), ScoreReader::new(&scoring, &tokens, c)?));
            }
        }
    }
    let mut watch = |seen: &Seen<'_>| readers.iter_mut().try_for_each(|(_, reader)| reader.see(seen));
    let whole =
        Prefill { embeddings: &x, positions: &positions, tokens: &tokens, selection: None, chunk: CHUNK };
    let session = || Session::new(&model.text, n, positions.next as usize);
    foveal::block_on(session()?.prefill(&whole, &mut watch))?;
    for (name, reader) in &readers {
        let scores = reader.scores()?;
        let video = host(&scores)?.data()[first..first + steps * per_step].to_vec();
        out.tensor(format!("score_{name}"), HostTensor::new([video.len()], video)?);
        for k in case.usizes("k")? {
            chosen(&mut out, &scores, &format!("{name}_k{k}"), k)?;
        }
    }
    let tied = case.input("scores_tied")?;
    let mut all = vec![0.0; n];
    all[first..first + tied.data().len()].copy_from_slice(tied.data());
    let k = case.expected("topk_tied")?.data.len();
    chosen(&mut out, &Tensor::from_f32(context, [n], &all)?, "tied", k)?;

    let k = case.usize("second_pass.k")?;
    let scoring = Scoring {
        layers: vec![case.usize("second_pass.score_layer")?],
        rows: if case.str("second_pass.rows")? == "last" { ScoreRows::Last } else { ScoreRows::BehindVideo },
        reduce: if case.str("second_pass.reduce")? == "max" { Mass::Max } else { Mass::Mean },
        heads: Vec::new(),
        contrast: false,
    };
    let layer = case.usize("second_pass.prune_after_layer")?;
    for (kind, choice) in [("global", Choice::Count(k)), ("quota", Choice::PerStep(k))] {
        for (pass, when) in [("two_pass", When::TwoPass), ("inplace", When::Behind { layer, compact: false })]
        {
            let selection = Selection { source: ScoreSource::Attention(scoring.clone()), choice, when };
            let prompt = Prefill { selection: Some(&selection), ..whole.clone() };
            let done = foveal::block_on(session()?.prefill(&prompt, |_| Ok(())))?;
            let Some(kept) = &done.kept else { return Err(case.malformed("nothing was selected")) };
            let rows = kept.ids.len();
            let logits = host(&model.text.logits(&done.hidden, 0..rows)?)?;
            out.tensor(format!("logits_{pass}_{kind}"), with_batch(logits)?);
            if when == When::TwoPass {
                continue;
            }
            let ids: Vec<i64> = foveal::block_on(kept.ids.to_u32())?.into_iter().map(i64::from).collect();
            out.ints(format!("keep_{kind}"), [rows], &ids);
            let [t, h, w] = &positions.rows;
            let table = model.text.rotary_table(positions.next as usize)?;
            let at = model.text.positions(&table, [t, h, w])?;
            let mut cache = model.text.cache(n)?;
            let behind = model.text.run(&x, &at, &mut cache, 0..layer + 1, &mut |_| Ok(()))?;
            out.tensor(format!("hidden_compacted_{kind}"), host(&embedding_of(&behind, &kept.ids)?)?);
        }
    }
    Ok(out)
}
