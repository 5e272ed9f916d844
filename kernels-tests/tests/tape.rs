//! The tape on this machine's adapter: checkpoints, gradients into the attention map, and work that is not done.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::{Attend, Attended, Keep, LinearThen, Tape, Var};
use foveal::block_on;
use foveal::gpu::AdapterClass;
use foveal::kernels::attention::{
    Attention, AttentionBackwardDkv, AttentionBackwardDq, AttentionOutput, AttentionProblem, AttentionShape,
    Mask, Mass, Readout, Tables, attention, attention_backward_delta, attention_backward_dq, attention_merge,
};
use foveal::kernels::matmul::{Epilogue, Layout, Matmul};
use foveal::kernels::{GeluForm, Then, Verified};
use foveal::tensor::Array;
use foveal::{Context, Dtype, Result, Tensor};
use kernels_tests::golden::new_context;
use kernels_tests::numerics::rng;
use kernels_tests::synthetic;

const TOKENS: usize = 10;
const KEYS: usize = 7;
const HEADS: usize = 2;
const HEAD_DIM: usize = 12;
const DIM: usize = HEADS * HEAD_DIM;
const GROUPS: usize = 2;

fn values(n: usize, seed: f64) -> Vec<f32> {
    (0..n).map(|i| ((i as f64 * 0.7391 + seed) * 1.931).sin() as f32).collect()
}

fn tensor(context: &Context, shape: &[usize], seed: f64, size: f32) -> Tensor {
    let numbers: Vec<f32> = values(shape.iter().product(), seed).iter().map(|v| v * size).collect();
    Tensor::from_f32(context, shape.to_vec(), &numbers).unwrap()
}

fn download(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

/// ‖a − b‖ ≤ bound · ‖b‖; NaN fails, and so does an expectation of zero.
#[track_caller]
fn assert_near(what: &str, found: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let error = norm(&mut found.iter().zip(expected).map(|(f, e)| f64::from(*f) - e));
    let size = norm(&mut expected.iter().copied());
    assert!(size > 0.0 && error <= bound * size, "{what}: off by {error:.3e} of {size:.3e}");
}

fn problem(seq_kv: usize, readout: Readout) -> AttentionProblem {
    let (heads, kv_heads) = (HEADS, HEADS);
    let shape = AttentionShape { batch: 1, heads, kv_heads, seq_q: TOKENS, seq_kv, head_dim: HEAD_DIM };
    AttentionProblem { readout, ..AttentionProblem::new(shape) }
}

/// A transformer block in small: modulated norm, self-attention, cross-attention to a fixed text whose columns are
/// read, feed-forward with gelu.
fn block(
    context: &Context,
    seed: f64,
) -> impl Fn(&mut Tape, &[Var]) -> Result<Vec<Var>> + Clone + Send + use<> {
    let row = |n: f64| tensor(context, &[1, DIM], seed + n, 0.4);
    let weight = |n: f64| tensor(context, &[DIM, DIM], seed + n, 0.3);
    let bias = || tensor(context, &[DIM], seed + 20.0, 0.1);
    let (scale, shift, gate, gain) = (row(1.0), row(2.0), row(3.0), tensor(context, &[DIM], seed + 4.0, 1.0));
    let weights: Vec<Var> = (5..12).map(|n| Var::constant(weight(f64::from(n)))).collect();
    let text = |n: f64| Var::constant(tensor(context, &[1, KEYS, HEADS, HEAD_DIM], seed + n, 1.0));
    let (k, v, bias) = (text(13.0), text(14.0), Var::constant(bias()));
    let own = problem(TOKENS, Readout::default());
    let own_tables = Tables::default().upload(context, &own).unwrap();
    let cross = problem(KEYS, Readout::default().with_groups(GROUPS));
    let columns: Vec<f32> = (0..GROUPS * KEYS).map(|i| if i % 3 == 0 { 0.5 } else { 0.0 }).collect();
    let cross_tables = Tables::default().with_columns(&columns[..]).upload(context, &cross).unwrap();
    move |tape: &mut Tape, inputs: &[Var]| -> Result<Vec<Var>> {
        let [x, map] = inputs else { panic!("a stream and a map") };
        let heads = |x: &Var| x.reshape([1, TOKENS, HEADS, HEAD_DIM]);
        let h = tape.modulated_layer_norm(x, &scale, &shift, 1e-6)?;
        let mut project = |n: usize| tape.linear(&h, &weights[n], Some(&bias));
        let (q, key, value) = (project(0)?, project(1)?, project(2)?);
        let (q, key) = (tape.rms_norm(&q, &gain, 1e-6, None)?, tape.rms_norm(&key, &gain, 1e-6, None)?);
        let (q, key, value) = (heads(&q)?, heads(&key)?, heads(&value)?);
        let attend = Attend::new(&own, &q, &key, &value).with_tables(&own_tables);
        let o = tape.attend(&attend)?.o.reshape([TOKENS, DIM])?;
        let x = tape.linear_then(
            &o,
            &weights[3],
            Some(&bias),
            LinearThen::GatedResidual { gate: &gate, residual: x },
        )?;
        let q = heads(&tape.linear(&x, &weights[4], Some(&bias))?)?;
        let attend = Attend::new(&cross, &q, &k, &v).with_tables(&cross_tables).with_columns(map);
        let Attended { o, columns, .. } = tape.attend(&attend)?;
        let x = tape.add(&x, &o.reshape([TOKENS, DIM])?)?;
        let h = tape.linear_then(&x, &weights[5], Some(&bias), LinearThen::Gelu)?;
        let x = tape.linear_then(&h, &weights[6], Some(&bias), LinearThen::Residual(&x))?;
        Ok(std::iter::once(x).chain(columns).collect())
    }
}

/// Two blocks, with gradients of the stream, the map or both: output, map after the backward, gradient by the input.
fn two_blocks(context: &Context, checkpointed: Option<Keep>, seeds: [bool; 2]) -> [Vec<f32>; 3] {
    let mut tape = checkpointed.map_or_else(Tape::record, Tape::record_keeping);
    let input = tape.leaf(tensor(context, &[TOKENS, DIM], 0.0, 1.0));
    let map = Var::constant(Tensor::zeros(context, [1, GROUPS, TOKENS], Dtype::F32).unwrap());
    let mut state = vec![input.clone(), map];
    for seed in [100.0, 200.0] {
        let block = block(context, seed);
        state =
            if checkpointed.is_some() { tape.checkpoint(&state, block) } else { block(&mut tape, &state) }
                .unwrap();
    }
    let [x, map] = &state[..] else { panic!("a stream and a map") };
    let gradients = [
        (x, tensor(context, &[TOKENS, DIM], 1.0, 1.0)),
        (map, tensor(context, &[1, GROUPS, TOKENS], 2.0, 5.0)),
    ];
    let wanted: Vec<_> =
        gradients.into_iter().zip(seeds).filter_map(|(pair, wanted)| wanted.then_some(pair)).collect();
    let gradient = tape.backward(&wanted).unwrap().of(&input).unwrap().unwrap();
    [download(x.tensor()), download(map.tensor()), download(&gradient)]
}

#[test]
fn a_checkpoint_changes_neither_results_nor_gradients() {
    let context = new_context().unwrap();
    for seeds in [[true, false], [false, true], [true, true]] {
        let plain = two_blocks(&context, None, seeds);
        for keep in [Keep::Attention, Keep::Nothing] {
            let checkpointed = two_blocks(&context, Some(keep), seeds);
            for (what, (found, expected)) in
                ["stream", "map", "gradient"].iter().zip(checkpointed.iter().zip(&plain))
            {
                let expected: Vec<f64> = expected.iter().map(|&v| v.into()).collect();
                // The same kernels on the same numbers; gradients that meet at a variable may be added in another
                // order, an ulp (6e-8) or two in each of a dozen sums.
                assert_near(&format!("{what} {seeds:?} {keep:?}"), found, &expected, 1e-6);
            }
        }
    }
}

#[test]
fn a_checkpoint_keeps_less_alive() {
    let context = new_context().unwrap();
    let held = |checkpointed: bool| {
        let block = block(&context, 100.0);
        let before = context.memory().live;
        let mut tape = Tape::record();
        let input = tape.leaf(tensor(&context, &[TOKENS, DIM], 0.0, 1.0));
        let map = Var::constant(Tensor::zeros(&context, [1, GROUPS, TOKENS], Dtype::F32).unwrap());
        let state = [input, map];
        let out =
            if checkpointed { tape.checkpoint(&state, block.clone()) } else { block(&mut tape, &state) }
                .unwrap();
        let held = context.memory().live - before;
        drop((tape, out));
        held
    };
    let (plain, checkpointed) = (held(false), held(true));
    assert!(2 * checkpointed < plain, "{checkpointed} bytes with a checkpoint, {plain} without");
}

/// Gradients by q, k and v through [`Tape::attend`] against the f64 references.
fn attention_gradients(context: &Context, problem: &AttentionProblem) {
    let inputs = AttentionBackwardDq(problem.clone()).inputs(&mut rng(&problem.to_string()));
    let [q, k, v, d_o, _, tables, map_grads] = &inputs[..] else { panic!("seven inputs") };
    let upload = |a: &Array| Tensor::from_f32(context, a.shape.clone(), &a.to_f32()).unwrap();
    let mut tape = Tape::record();
    let [q, k, v] = [q, k, v].map(|a| tape.leaf(upload(a)));
    let AttentionShape { batch, heads, seq_q, seq_kv, .. } = problem.shape;
    let columns = problem.readout.groups;
    // The map begins with this call.
    let tables = upload(tables);
    let out = tape.attend(&Attend::new(problem, &q, &k, &v).with_tables(&tables)).unwrap();

    let [entropy_at, mass_at, _] = problem.map_grads_offsets();
    let all = map_grads.to_f32();
    let mut seeds = Vec::new();
    if problem.output_gradient {
        seeds.push((&out.o, upload(d_o)));
    }
    if let Some(var) = &out.columns {
        seeds.push((var, Tensor::from_f32(context, [batch, columns, seq_q], &all[..entropy_at]).unwrap()));
    }
    if let Some(var) = &out.entropy {
        seeds.push((
            var,
            Tensor::from_f32(context, [batch, heads, seq_q], &all[entropy_at..mass_at]).unwrap(),
        ));
    }
    if let Some(var) = &out.mass {
        let mut part = all[mass_at..mass_at + batch * seq_kv].to_vec();
        // The second plane of a maximum is an index, into which no gradient flows.
        part.resize(var.tensor().len(), 0.0);
        seeds.push((var, Tensor::from_f32(context, var.tensor().shape().clone(), &part).unwrap()));
    }
    let gradients = tape.backward(&seeds).unwrap();
    let found = |var: &Var| gradients.of(var).unwrap().map(|g| download(&g)).unwrap_or_default();
    let dq = AttentionBackwardDq(problem.clone()).reference(&inputs).remove(0);
    let dkv = AttentionBackwardDkv(problem.clone()).reference(&inputs).remove(0);
    let (dk, dv) = dkv.data.split_at(k.tensor().len());
    // The bound of the attention kernels themselves: exp of scores up to a few tens, summed over the keys.
    assert_near(&format!("dq {problem}"), &found(&q), &dq.data, 2e-5);
    assert_near(&format!("dk {problem}"), &found(&k), dk, 2e-5);
    if problem.output_gradient {
        assert_near(&format!("dv {problem}"), &found(&v), dv, 2e-5);
    } else {
        assert!(found(&v).iter().all(|&g| g == 0.0), "dv {problem}");
    }
}

#[test]
fn gradients_of_reductions_reach_queries_and_keys() {
    let context = new_context().unwrap();
    let entropy = Readout::default().with_entropy();
    let mass = |m| Readout::default().with_mass(m);
    let columns = Readout::default().with_groups(3);
    let all = Readout::default().with_groups(1).with_mass(Mass::Mean).with_entropy();
    let shape = AttentionShape { batch: 2, heads: 4, kv_heads: 2, seq_q: 9, seq_kv: 13, head_dim: 8 };
    for readout in [entropy, mass(Mass::Mean), mass(Mass::Max), columns, all] {
        for output_gradient in [false, true] {
            attention_gradients(
                &context,
                &AttentionProblem { readout, output_gradient, ..AttentionProblem::new(shape) },
            );
        }
    }
    let mask = Mask::Temporal { tokens_per_frame: 3 };
    attention_gradients(&context, &AttentionProblem { mask, readout: all, ..AttentionProblem::new(shape) });
}

#[test]
fn cross_attention_to_a_fixed_text_runs_no_key_and_value_backward() {
    let context = new_context().unwrap();
    let problem = problem(KEYS, Readout::default().with_groups(GROUPS));
    let columns = [0.25; GROUPS * KEYS];
    let tables = Tables::default().with_columns(&columns[..]).upload(&context, &problem).unwrap();
    let timed = context.set_timing(true);
    let backward = |fixed: bool| {
        let mut tape = Tape::record();
        let q = tape.leaf(tensor(&context, &[1, TOKENS, HEADS, HEAD_DIM], 1.0, 1.0));
        let mut text = |seed: f64| {
            let tensor = tensor(&context, &[1, KEYS, HEADS, HEAD_DIM], seed, 1.0);
            if fixed { Var::constant(tensor) } else { tape.leaf(tensor) }
        };
        let (k, v) = (text(2.0), text(3.0));
        let map = Var::constant(Tensor::zeros(&context, [1, GROUPS, TOKENS], Dtype::F32).unwrap());
        let attend = Attend::new(&problem, &q, &k, &v).with_tables(&tables).with_columns(&map);
        let out = tape.attend(&attend).unwrap();
        let seeds = [(&out.o, tensor(&context, &[1, TOKENS, HEADS, HEAD_DIM], 4.0, 1.0))];
        block_on(context.take_timings()).unwrap();
        let before = context.dispatches();
        let gradients = tape.backward(&seeds).unwrap();
        let labels: Vec<String> =
            block_on(context.take_timings()).unwrap().into_iter().map(|t| t.kernel).collect();
        assert!(gradients.of(&q).unwrap().is_some());
        assert_eq!(gradients.of(&k).unwrap().is_none(), fixed);
        (context.dispatches() - before, labels)
    };
    let ((fixed, without), (free, with)) = (backward(true), backward(false));
    assert_eq!((fixed, free), (2, 3));
    if timed {
        let has = |labels: &[String]| labels.iter().any(|l| l.starts_with("attention_backward_dkv"));
        assert!(!has(&without) && has(&with), "{without:?} {with:?}");
    }
}

#[test]
fn an_op_of_ones_own_gives_a_gradient_to_each_input() {
    let context = new_context().unwrap();
    let (a, b) = (tensor(&context, &[4], 0.1, 1.0), tensor(&context, &[4], 0.2, 1.0));
    let seed = tensor(&context, &[4], 0.3, 1.0);
    let run = |back: Vec<Option<Tensor>>| {
        let mut tape = Tape::record();
        let (a, b) = (tape.leaf(a.clone()), tape.leaf(b.clone()));
        let y = tape.apply(&[&a, &b], b.tensor().clone(), move |_| Ok(back))?;
        let gradients = tape.backward(&[(&y, seed.clone())])?;
        Ok::<_, foveal::Error>((gradients.of(&a)?, gradients.of(&b)?))
    };
    let (of_a, of_b) = run(vec![None, Some(b.clone())]).unwrap();
    assert!(of_a.is_none(), "an input without a gradient got one");
    assert_eq!(download(&of_b.unwrap()), download(&b));
    let message = |back| run(back).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(message(vec![None]).contains("1 for 2 inputs"), "{}", message(vec![None]));
    let long = Some(tensor(&context, &[5], 0.1, 1.0));
    assert!(message(vec![None, long.clone()]).contains('5'), "{}", message(vec![None, long]));
}

#[test]
fn keys_are_cut_into_parts_where_a_gpu_would_idle() {
    let context = new_context().unwrap();
    let shape = AttentionShape { batch: 1, heads: 14, kv_heads: 2, seq_q: 1, seq_kv: 1100, head_dim: 16 };
    let readout = Readout::default().with_entropy();
    let one = AttentionProblem { readout, ..AttentionProblem::new(shape) };
    let many = AttentionProblem::new(AttentionShape { seq_q: 16_384, ..shape });
    let q = tensor(&context, &[1, 1, 14, 16], 0.1, 1.0);
    let k = tensor(&context, &[1, 1100, 2, 16], 0.2, 1.0);
    let v = tensor(&context, &[1, 1100, 2, 16], 0.3, 1.0);
    let tables = Tables::default().upload(&context, &one).unwrap();
    let attend = |kernel: &Attention| kernel.attend(&q, &k, &v, &tables).unwrap();
    let whole = attend(&Attention::from(one.clone()));
    let wide = |t: &Tensor| download(t).into_iter().map(f64::from).collect::<Vec<_>>();
    for caps in synthetic::caps() {
        let kernel = Attention::for_device(&one, &caps).unwrap();
        let expected = if caps.class == AdapterClass::Software { 1 } else { 4 };
        assert_eq!(kernel.parts, expected, "{}", caps.adapter);
        assert_eq!(Attention::for_device(&many, &caps).unwrap().parts, 1, "{}", caps.adapter);
        let found = attend(&kernel);
        assert_near("o", &download(&found.o), &wide(&whole.o), 1e-6);
        assert_near("stats", &download(&found.stats), &wide(&whole.stats), 1e-6);
    }
    let headless = AttentionProblem::new(AttentionShape { kv_heads: 0, ..shape });
    assert!(synthetic::caps().iter().all(|caps| Attention::for_device(&headless, caps).is_err()));
    let nothing = Attention { problem: one, parts: 0 };
    assert!(nothing.attend(&q, &k, &v, &tables).is_err());
}

#[test]
fn inner_sizes_are_cut_into_parts_where_a_gpu_would_idle() {
    let context = new_context().unwrap();
    let (m, n, k) = (40, 24, 2200);
    let (x, w) = (tensor(&context, &[m, k], 0.1, 0.1), tensor(&context, &[k, n], 0.2, 0.1));
    let plain = Matmul { m, n, k, layout: Layout::Columns, epilogue: Epilogue::None, parts: 1, piece: None };
    let multiply = |matmul: &Matmul, then| download(&matmul.multiply(&x, &w, then).unwrap());
    let wide = |y: Vec<f32>| y.into_iter().map(f64::from).collect::<Vec<_>>();
    let expected = wide(multiply(&plain, Then::Nothing));
    let (bias, residual) = (tensor(&context, &[n], 0.3, 1.0), tensor(&context, &[m, n], 0.4, 1.0));
    let gate = tensor(&context, &[2, n], 0.5, 1.0);
    let before = Tensor::zeros(&context, [m, n], Dtype::F32).unwrap();
    let gated = Then::GatedResidual { bias: &bias, residual: &residual, gate: &gate };
    let after = wide(multiply(&plain, gated));
    for caps in synthetic::caps() {
        let for_device = |matmul: &Matmul| matmul.clone().for_device(&caps, Dtype::F32).unwrap();
        let cut = for_device(&plain);
        assert_eq!(cut.parts, if caps.class == AdapterClass::Software { 1 } else { 4 }, "{}", caps.adapter);
        assert_eq!(for_device(&Matmul { m: 4096, n: 4096, ..plain.clone() }).parts, 1, "{}", caps.adapter);
        assert_eq!(for_device(&Matmul { epilogue: Epilogue::Bias, ..plain.clone() }).parts, 1);
        assert_near("product", &multiply(&cut, Then::Nothing), &expected, 2e-6);
        assert_near("product, gated", &multiply(&cut, gated), &after, 2e-6);
        // What the gradient of a gelu needs is written by whoever stores.
        multiply(&cut, Then::Gelu { bias: &bias, form: GeluForm::Tanh, before: &before });
        assert_near("before the gelu", &download(&before), &wide(multiply(&plain, Then::Bias(&bias))), 2e-6);
    }
    for wrong in
        [Matmul { parts: 0, ..plain.clone() }, Matmul { parts: 2, epilogue: Epilogue::Bias, ..plain.clone() }]
    {
        assert!(wrong.multiply(&x, &w, Then::Nothing).is_err());
    }
    let uneven = tensor(&context, &[3, n], 0.5, 1.0);
    let uneven = Then::GatedResidual { bias: &bias, residual: &residual, gate: &uneven };
    assert!(Matmul { parts: 2, ..plain }.multiply(&x, &w, uneven).is_err());
}

#[test]
fn parts_of_the_keys_merge_to_attention_over_all_of_them() {
    let context = new_context().unwrap();
    let entropy = Readout::default().with_entropy();
    let whole = problem(KEYS, entropy);
    let q = tensor(&context, &[1, TOKENS, HEADS, HEAD_DIM], 0.1, 1.0);
    let k = tensor(&context, &[1, KEYS, HEADS, HEAD_DIM], 0.2, 1.0);
    let v = tensor(&context, &[1, KEYS, HEADS, HEAD_DIM], 0.3, 1.0);
    let d_o = tensor(&context, &[1, TOKENS, HEADS, HEAD_DIM], 0.4, 1.0);
    let no_gradient =
        |p: &AttentionProblem| Tensor::zeros(&context, [p.map_grads_len()], Dtype::F32).unwrap();
    // Output, statistics and gradient by the queries, from the statistics `of`.
    let attend = |p: &AttentionProblem, k: &Tensor, v: &Tensor| {
        let tables = Tables::default().upload(&context, p).unwrap();
        attention(p, &q, k, v, &tables).unwrap()
    };
    let gradient = |p: &AttentionProblem, k: &Tensor, v: &Tensor, of: &AttentionOutput| {
        let tables = Tables::default().upload(&context, p).unwrap();
        let map = no_gradient(p);
        let lse = of.stats.narrow(0, 2).unwrap();
        let stats = attention_backward_delta(p, &q, k, &of.o, &d_o, &lse, &tables, &map).unwrap();
        download(&attention_backward_dq(p, &q, k, v, &d_o, &stats, &tables, &map).unwrap())
    };
    let expected = attend(&whole, &k, &v);

    let cuts = [(0, 3), (3, 1), (4, KEYS - 4)];
    let part = |of: &Tensor, first, n| {
        let rows = of.reshape([KEYS, HEADS, HEAD_DIM]).unwrap().narrow(first, n).unwrap();
        rows.reshape([1, n, HEADS, HEAD_DIM]).unwrap()
    };
    let parts = cuts.map(|(first, n)| (problem(n, entropy), part(&k, first, n), part(&v, first, n)));
    let outputs: Vec<_> = parts.iter().map(|(p, k, v)| attend(p, k, v)).collect();
    let merged = attention_merge(&outputs).unwrap();
    let wide = |t: &Tensor| download(t).into_iter().map(f64::from).collect::<Vec<_>>();
    // One more rounding for each merge.
    assert_near("o", &download(&merged.o), &wide(&expected.o), 1e-6);
    assert_near("stats", &download(&merged.stats), &wide(&expected.stats), 1e-6);

    // The entropy that was read wants no gradient here.
    let plain = |p: &AttentionProblem| AttentionProblem { readout: Readout::default(), ..p.clone() };
    let all = gradient(&plain(&whole), &k, &v, &expected);
    let shares = parts.iter().map(|(p, k, v)| gradient(&plain(p), k, v, &merged));
    let sum = shares.reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect()).unwrap();
    let all: Vec<_> = all.into_iter().map(f64::from).collect();
    assert_near("dq", &sum, &all, 2e-6);
    assert!(attention_merge(&[]).is_err());
}
