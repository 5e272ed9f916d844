//! Variables belong to their tape, gradients to the values they were computed from, and each gradient to its own memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::{Attend, Keep, LinearThen, Tape, Var};
use foveal::block_on;
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mass, Readout, Tables};
use foveal::kernels::elementwise::Stream;
use foveal::kernels::optim::AdamW;
use foveal::kernels::token::RowMap;
use foveal::nn::{Accumulated, Optimiser, Parameters};
use foveal::{Context, ContextOptions, Dtype, Error, HostTensor, Result, Tensor};
use std::collections::BTreeMap;

fn context() -> Context {
    block_on(Context::new(ContextOptions::default())).unwrap()
}

fn t(context: &Context, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(context, shape, values).unwrap()
}

fn download(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

fn of(gradients: &foveal::autograd::Gradients, var: &Var) -> Vec<f32> {
    download(&gradients.of(var).unwrap().expect("a gradient"))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T>, about: &str) {
    match outcome {
        Err(Error::Tape(message)) => assert!(message.contains(about), "{about}: {message}"),
        other => panic!("{about}: {other:?}"),
    }
}

/// x (2, 2) of ones, w1 and w2 (2, 2).
fn leaves(tape: &mut Tape, c: &Context) -> [Var; 3] {
    [&[1.0; 4], &[1.0, 2.0, 3.0, 4.0], &[10.0, 20.0, 20.0, 30.0]]
        .map(|v: &[f32; 4]| tape.leaf(t(c, &[2, 2], v)))
}

#[test]
fn gradients_flow_to_what_a_checkpoint_captured() {
    let c = context();
    for keep in [Keep::Attention, Keep::Nothing] {
        let run = |checkpointed: bool| {
            let mut tape = Tape::record_keeping(keep);
            let [x, w1, w2] = leaves(&mut tape, &c);
            // A leaf and an intermediate of the tape around are captured; another block is nested in the first.
            let hidden = tape.linear(&x, &w1, None).unwrap();
            let (inner_w, inner_h) = (w2.clone(), hidden.clone());
            let block = move |tape: &mut Tape, v: &[Var]| {
                let y = tape.linear(&v[0], &inner_w, None)?;
                let (w, h) = (inner_w.clone(), inner_h.clone());
                let inner = move |tape: &mut Tape, v: &[Var]| {
                    let z = tape.linear(&v[0], &w, None)?;
                    Ok(vec![tape.sum(&[&z, &h])?])
                };
                tape.checkpoint(&[y], inner)
            };
            let y = if checkpointed {
                tape.checkpoint(std::slice::from_ref(&x), block)
            } else {
                block(&mut tape, std::slice::from_ref(&x))
            };
            let y = y.unwrap().remove(0);
            let g = tape.backward(&[(&y, t(&c, &[2, 2], &[1.0, 0.5, -1.0, 2.0]))]).unwrap();
            [download(y.tensor()), of(&g, &x), of(&g, &w1), of(&g, &w2)]
        };
        assert_eq!(run(true), run(false), "{keep:?}");
    }
}

#[test]
fn the_smallest_captured_weight() {
    let c = context();
    for keep in [Keep::Attention, Keep::Nothing] {
        let mut tape = Tape::record_keeping(keep);
        let x = tape.leaf(t(&c, &[2, 2], &[1.0, 2.0, 3.0, 4.0]));
        let w2 = tape.leaf(t(&c, &[2, 2], &[10.0, 20.0, 30.0, 40.0]));
        let w = w2.clone();
        let y = tape.checkpoint(std::slice::from_ref(&x), move |t, v| Ok(vec![t.linear(&v[0], &w, None)?]));
        let y = y.unwrap().remove(0);
        let g = tape.backward(&[(&y, t(&c, &[2, 2], &[1.0; 4]))]).unwrap();
        assert_eq!(of(&g, &x), [40.0, 60.0, 40.0, 60.0]);
        assert_eq!(of(&g, &w2), [4.0, 6.0, 4.0, 6.0]);
    }
}

#[test]
fn a_block_whose_inputs_want_nothing_still_sends_gradients_to_what_it_captured() {
    let c = context();
    let mut tape = Tape::record();
    let [_, w, _] = leaves(&mut tape, &c);
    let x = Var::constant(t(&c, &[2, 2], &[1.0, 2.0, 3.0, 4.0]));
    let inner = w.clone();
    let y = tape.checkpoint(std::slice::from_ref(&x), move |t, v| Ok(vec![t.linear(&v[0], &inner, None)?]));
    let inner = w.clone();
    let z = tape.by_rows(&x, 1, move |t, v| t.linear(v, &inner, None)).unwrap();
    let sum = tape.add(&y.unwrap()[0], &z).unwrap();
    let g = tape.backward(&[(&sum, t(&c, &[2, 2], &[1.0; 4]))]).unwrap();
    assert_eq!(of(&g, &w), [8.0, 12.0, 8.0, 12.0]);
    // Nothing at all is wanted: nothing is kept.
    let mut tape = Tape::record();
    let y = tape.checkpoint(std::slice::from_ref(&x), |t, v| Ok(vec![t.gelu_erf(&v[0])?])).unwrap();
    assert!(!y[0].requires_grad() && !tape.by_rows(&x, 1, |t, v| t.gelu_erf(v)).unwrap().requires_grad());
}

#[test]
fn gradients_flow_to_what_rows_at_a_time_captured() {
    let c = context();
    for (rows, inside) in [(1, false), (2, false), (3, true)] {
        let run = |by_rows: bool| {
            let mut tape = Tape::record();
            let x = tape.leaf(t(&c, &[4, 2], &[1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 2.0, 1.0]));
            let [_, w, gain] = leaves(&mut tape, &c);
            let (inner_w, inner_gain) = (w.clone(), gain.clone());
            let block = move |tape: &mut Tape, v: &Var| {
                let y = tape.linear(v, &inner_w, None)?;
                let y = tape.gelu_erf(&y)?;
                tape.linear(&y, &inner_gain, None)
            };
            let step = move |tape: &mut Tape, x: &Var| {
                if by_rows { tape.by_rows(x, rows, block.clone()) } else { block(tape, x) }
            };
            let y = if inside {
                // Rows at a time within a checkpoint: what it captures, the checkpoint captures.
                let step = move |tape: &mut Tape, v: &[Var]| Ok(vec![step(tape, &v[0])?]);
                tape.checkpoint(std::slice::from_ref(&x), step).unwrap().remove(0)
            } else {
                step(&mut tape, &x).unwrap()
            };
            let seed: Vec<f32> = (0..8).map(|i| 1.0 - 0.25 * i as f32).collect();
            let g = tape.backward(&[(&y, t(&c, &[4, 2], &seed))]).unwrap();
            [of(&g, &x), of(&g, &w), of(&g, &gain)]
        };
        for (found, wanted) in run(true).iter().flatten().zip(run(false).iter().flatten()) {
            // Sums over rows in another order.
            assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{rows}: {found} {wanted}");
        }
    }
}

#[test]
fn a_variable_of_another_tape_is_refused_everywhere() {
    let c = context();
    let mut other = Tape::record();
    let foreign = other.leaf(t(&c, &[4, 4], &[1.0; 16]));
    type Op = fn(&mut Tape, &Var, &Var) -> Result<Var>;
    let ops: [(&str, Op); 20] = [
        ("linear", |tape, x, o| {
            let bias = Var::constant(o.tensor().narrow(0, 1)?.reshape([4])?);
            tape.linear_then(x, &Var::constant(o.tensor().clone()), Some(&bias), LinearThen::Gelu)
        }),
        ("linear", |tape, x, o| tape.linear_then(o, o, None, LinearThen::Residual(x))),
        ("modulated_layer_norm", |tape, x, o| {
            tape.modulated_layer_norm(x, &o.tensor().narrow(0, 1)?, &o.tensor().narrow(1, 1)?, 1e-5)
        }),
        ("rms_norm", |tape, x, o| tape.rms_norm(x, &o.tensor().narrow(0, 1)?.reshape([4])?, 1e-5, None)),
        ("add", |tape, x, o| tape.add(o, x)),
        ("convert", |tape, x, _| tape.convert(x, Dtype::Bf16)),
        ("patchify", |tape, x, _| {
            tape.patchify(
                &x.reshape([1, 1, 4, 4])?,
                [1, 2, 2],
                foveal::kernels::token::PatchOrder::ChannelFirst,
            )
        }),
        ("linear", |tape, x, o| tape.linear(o, x, None)),
        ("linear", |tape, x, o| tape.linear(x, o, None)),
        ("layer_norm", |tape, x, o| {
            let row = Var::constant(o.tensor().narrow(0, 1)?.reshape([4])?);
            tape.layer_norm(x, &row, &row, 1e-5)
        }),
        ("branch_norm", |tape, x, o| {
            let row = Var::constant(o.tensor().narrow(0, 1)?.reshape([4])?);
            tape.branch_norm(o, x, &row, &row, 1e-5)
        }),
        ("gelu_erf", |tape, x, _| tape.gelu_erf(x)),
        ("sum_rows", |tape, x, _| tape.sum_rows(x, &RowMap::pick(4, [Some(1)])?)),
        ("sum", |tape, x, o| tape.sum(&[o, x])),
        ("dropout", |tape, x, _| tape.dropout(x, 0.5, Stream { seed: 1, use_number: 2 })),
        ("gram", |tape, x, _| tape.gram(&x.reshape([1, 4, 4])?)),
        ("nt_xent", |tape, x, o| Ok(tape.nt_xent(&x.reshape([1, 4, 4])?, o.tensor(), o.tensor(), 0.5)?.0)),
        ("mean_squared_error", |tape, x, o| tape.mean_squared_error(x, o.tensor())),
        ("apply", |tape, x, o| tape.apply(&[x], o.tensor().clone(), |_| Ok(vec![None]))),
        ("attend", |tape, x, o| {
            let shape = AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q: 4, seq_kv: 4, head_dim: 4 };
            let problem = AttentionProblem::new(shape);
            let tables = Tables::default().upload(o.tensor().context(), &problem)?;
            let [x, o] = [x.reshape([1, 4, 1, 4])?, o.reshape([1, 4, 1, 4])?];
            Ok(tape.attend(&Attend::new(&problem, &o, &x, &o).with_tables(&tables))?.o)
        }),
    ];
    for make in [Tape::record, Tape::forward] {
        for (name, op) in ops {
            let mut tape = make();
            let own = tape.leaf(t(&c, &[4, 4], &[0.5; 16]));
            refused(op(&mut tape, &foreign, &own), &format!("{name}: a variable of another tape"));
            op(&mut tape, &own, &own).unwrap_or_else(|e| panic!("{name}: {e}"));
            op(&mut tape, &Var::constant(foreign.tensor().clone()), &own)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    let mut tape = Tape::record();
    refused(tape.checkpoint(std::slice::from_ref(&foreign), |_, v| Ok(v.to_vec())), "checkpoint");
    refused(tape.by_rows(&foreign, 1, |_, v| Ok(v.clone())), "by_rows");
    // A block may use what is around it, and nothing else.
    let own = tape.leaf(t(&c, &[4, 4], &[0.5; 16]));
    let inner = foreign.clone();
    refused(tape.checkpoint(std::slice::from_ref(&own), move |t, v| Ok(vec![t.add(&v[0], &inner)?])), "add");
    let y = tape.gelu_erf(&own).unwrap();
    refused(Tape::record().backward(&[(&y, own.tensor().clone())]).map(|_| ()), "backward");
    let gradients = tape.backward(&[(&y, own.tensor().clone())]).unwrap();
    refused(gradients.of(&foreign), "gradients");
    assert!(gradients.of(&Var::constant(own.tensor().clone())).unwrap().is_none());
    assert!(gradients.of(&own).unwrap().is_some());
}

#[test]
fn what_a_gradient_needs_must_be_as_it_was() {
    let c = context();
    type Op = fn(&mut Tape, &Var, &Tensor) -> Result<Var>;
    // Each reads the tensor `w` in its backward, or the variable itself.
    let ops: [(&str, Op, bool); 9] = [
        (
            "linear",
            |tape, x, w| {
                let bias = Var::constant(w.narrow(0, 1)?.reshape([4])?);
                tape.linear_then(x, &Var::constant(w.clone()), Some(&bias), LinearThen::Gelu)
            },
            true,
        ),
        ("linear", |tape, x, w| tape.linear(x, &Var::constant(w.clone()), None), true),
        (
            "modulated_layer_norm",
            |tape, x, w| tape.modulated_layer_norm(x, &w.narrow(0, 1)?, &w.narrow(1, 1)?, 1e-5),
            true,
        ),
        ("rms_norm", |tape, x, w| tape.rms_norm(x, &w.narrow(0, 1)?.reshape([4])?, 1e-5, None), true),
        (
            "linear with a trained weight",
            |tape, x, w| {
                let w = tape.leaf(w.clone());
                tape.linear(x, &w, None)
            },
            true,
        ),
        ("gelu_erf", |tape, x, _| tape.gelu_erf(x), false),
        ("gram", |tape, x, _| tape.gram(&x.reshape([1, 4, 4])?), false),
        ("nt_xent", |tape, x, w| Ok(tape.nt_xent(&x.reshape([1, 4, 4])?, w, w, 0.5)?.0), true),
        (
            "attend",
            |tape, x, w| {
                let shape =
                    AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q: 4, seq_kv: 4, head_dim: 4 };
                let problem = AttentionProblem::new(shape);
                let tables = Tables::default().upload(w.context(), &problem)?;
                let (x, w) = (x.reshape([1, 4, 1, 4])?, Var::constant(w.reshape([1, 4, 1, 4])?));
                Ok(tape.attend(&Attend::new(&problem, &x, &w, &w).with_tables(&tables))?.o)
            },
            true,
        ),
    ];
    type Block = Box<dyn Fn(&mut Tape, &Var) -> Result<Var> + Send>;
    type Around = fn(&mut Tape, &Var, Block) -> Result<Var>;
    let arounds: [(&str, Around); 3] = [
        ("plain", |tape, x, op| op(tape, x)),
        ("checkpoint", |tape, x, op| {
            Ok(tape.checkpoint(std::slice::from_ref(x), move |tape, v| Ok(vec![op(tape, &v[0])?]))?.remove(0))
        }),
        ("by_rows", |tape, x, op| tape.by_rows(x, 4, op)),
    ];
    for (around, run) in arounds {
        for (name, op, reads_weight) in ops {
            if around == "by_rows" && ["gram", "nt_xent", "attend"].contains(&name) {
                continue;
            }
            for write_weight in [true, false] {
                let w = t(&c, &[4, 4], &[0.25; 16]);
                let mut tape = Tape::record();
                let x = tape.leaf(t(&c, &[4, 4], &(0..16).map(|i| i as f32 * 0.1).collect::<Vec<_>>()));
                let inner = w.clone();
                let y = run(&mut tape, &x, Box::new(move |tape, x| op(tape, x, &inner)));
                let y = y.unwrap_or_else(|e| panic!("{around} {name}: {e}"));
                if write_weight { w.write(&[0.5; 16]) } else { x.tensor().write(&[0.5; 16]) }.unwrap();
                let seed = Tensor::zeros(&c, y.tensor().shape().clone(), Dtype::F32).unwrap();
                let outcome = tape.backward(&[(&y, seed)]).map(|_| ());
                let reads = if write_weight { reads_weight } else { around != "plain" || name != "linear" };
                if reads {
                    refused(outcome, "written after the forward pass");
                } else {
                    outcome.unwrap_or_else(|e| panic!("{around} {name}: {e}"));
                }
            }
        }
    }
    // A variable whose values were written is no longer what it was.
    let mut tape = Tape::record();
    let x = tape.leaf(t(&c, &[4], &[1.0; 4]));
    x.tensor().write(&[2.0; 4]).unwrap();
    refused(tape.gelu_erf(&x), "written after the variable was made");
    assert!(tape.gelu_erf(&Var::constant(x.tensor().clone())).is_ok());
}

fn columns_problem(c: &Context) -> (AttentionProblem, Tensor) {
    let shape = AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q: 4, seq_kv: 4, head_dim: 4 };
    let readout = Readout::default().with_groups(1);
    let problem = AttentionProblem { readout, ..AttentionProblem::new(shape) };
    let tables = Tables::default().with_columns([1.0, 0.0, 0.0, 0.0]).upload(c, &problem).unwrap();
    (problem, tables)
}

#[test]
fn a_map_goes_from_call_to_call() {
    let c = context();
    let (problem, tables) = columns_problem(&c);
    let values: Vec<f32> = (0..16).map(|i| (i as f32 * 0.7).sin()).collect();
    for make in [Tape::record, Tape::forward] {
        let mut tape = make();
        let q = tape.leaf(t(&c, &[1, 4, 1, 4], &values));
        let k = Var::constant(q.tensor().clone());
        let map = Var::constant(Tensor::zeros(&c, [1, 1, 4], Dtype::F32).unwrap());
        let call = |map| Attend::new(&problem, &q, &k, &k).with_tables(&tables).with_columns(map);
        let first = tape.attend(&call(&map)).unwrap().columns.unwrap();
        let one = download(first.tensor());
        // The first map is no longer what it was: adding to it again would sum values that no gradient knows of.
        refused(tape.attend(&call(&map)), "hand on the variable that the op returns");
        let second = tape.attend(&call(&first)).unwrap().columns.unwrap();
        let both = download(second.tensor());
        assert!(both.iter().zip(&one).all(|(b, o)| (b - 2.0 * o).abs() < 1e-6));
        if q.requires_grad() {
            let ones = t(&c, &[1, 1, 4], &[1.0; 4]);
            let whole = of(&tape.backward(&[(&second, ones.clone())]).unwrap(), &q);
            let mut tape = Tape::record();
            let leaf = tape.leaf(q.tensor().clone());
            let fresh = Var::constant(Tensor::zeros(&c, [1, 1, 4], Dtype::F32).unwrap());
            let call = Attend::new(&problem, &leaf, &k, &k).with_tables(&tables).with_columns(&fresh);
            let once = tape.attend(&call).unwrap().columns.unwrap();
            let half = of(&tape.backward(&[(&once, ones)]).unwrap(), &leaf);
            assert!(
                whole.iter().zip(&half).all(|(w, h)| (w - 2.0 * h).abs() < 1e-6)
                    && half.iter().any(|h| *h != 0.0)
            );
        }
    }
}

#[test]
fn gradients_have_memory_of_their_own() {
    let c = context();
    let mut tape = Tape::record();
    let values = [1.0, 2.0, 3.0, 4.0];
    let [a, b, alone] = [(); 3].map(|()| tape.leaf(t(&c, &[4], &values)));
    let sum = tape.add(&a, &b).unwrap();
    let (seed, own) = (t(&c, &[4], &[1.0; 4]), t(&c, &[4], &[5.0; 4]));
    // The seed of a leaf, a seed that goes to two leaves, and keys and values that one kernel writes side by side.
    let shape = AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q: 1, seq_kv: 1, head_dim: 4 };
    let problem = AttentionProblem::new(shape);
    let tables = Tables::default().upload(&c, &problem).unwrap();
    let [q, k, v] = [(); 3].map(|()| tape.leaf(t(&c, &[1, 1, 1, 4], &values)));
    let o = tape.attend(&Attend::new(&problem, &q, &k, &v).with_tables(&tables)).unwrap().o;
    let seeds = [(&sum, seed.clone()), (&alone, own.clone()), (&o, seed.reshape([1, 1, 1, 4]).unwrap())];
    let g = tape.backward(&seeds).unwrap();
    let all: Vec<Tensor> = [&a, &b, &alone, &q, &k, &v].map(|x| g.of(x).unwrap().unwrap()).into();
    let before: Vec<_> = all.iter().map(download).collect();
    assert_eq!((&before[0], &before[1], &before[2]), (&vec![1.0; 4], &vec![1.0; 4], &vec![5.0; 4]));
    for (i, gradient) in all.iter().enumerate() {
        gradient.write(&[-7.0; 4]).unwrap();
        for (j, other) in all.iter().enumerate().skip(i + 1) {
            assert_eq!(download(other), before[j], "{j} changed with {i}");
        }
        assert_eq!(
            (download(&seed), download(&own)),
            (vec![1.0; 4], vec![5.0; 4]),
            "a seed changed with {i}"
        );
    }
    // And the other way round.
    let mut tape = Tape::record();
    let x = tape.leaf(t(&c, &[4], &values));
    let g = tape.backward(&[(&x, seed.clone())]).unwrap();
    seed.write(&[9.0; 4]).unwrap();
    assert_eq!(of(&g, &x), [1.0; 4]);
}

#[test]
fn a_gradient_of_a_reduction_survives_a_checkpoint_with_its_map() {
    let c = context();
    let (mut problem, _) = columns_problem(&c);
    problem.readout = Readout::default().with_groups(1).with_entropy().with_mass(Mass::Mean);
    let tables = Tables::default().with_columns([0.0, 1.0, 0.5, 0.0]).with_rows([0.25; 4]).with_heads([1.0]);
    let tables = tables.upload(&c, &problem).unwrap();
    let values: Vec<f32> = (0..16).map(|i| (i as f32 * 0.7).sin()).collect();
    let run = |checkpointed: bool| {
        let mut tape = Tape::record();
        let q = tape.leaf(t(&c, &[1, 4, 1, 4], &values));
        let map = Var::constant(Tensor::zeros(&c, [1, 1, 4], Dtype::F32).unwrap());
        let (problem, tables) = (problem.clone(), tables.clone());
        let block = move |tape: &mut Tape, v: &[Var]| {
            let call = Attend::new(&problem, &v[0], &v[0], &v[0]).with_tables(&tables).with_columns(&v[1]);
            let out = tape.attend(&call)?;
            Ok(vec![out.o, out.columns.unwrap(), out.entropy.unwrap(), out.mass.unwrap()])
        };
        let out = if checkpointed {
            tape.checkpoint(&[q.clone(), map], block)
        } else {
            block(&mut tape, &[q.clone(), map])
        };
        let out = out.unwrap();
        let seed = |i: usize| {
            let v: &Var = &out[i];
            let n = v.tensor().len();
            t(&c, v.tensor().dims(), &(0..n).map(|i| 0.5 - i as f32 * 0.1).collect::<Vec<_>>())
        };
        let seeds: Vec<_> = (0..4).map(|i| (&out[i], seed(i))).collect();
        of(&tape.backward(&seeds).unwrap(), &q)
    };
    assert_eq!(run(true), run(false));
}

fn parameters(c: &Context) -> Parameters {
    let mut parameters = Parameters::new(c);
    for name in ["a", "b", "c"] {
        parameters.insert(name, &HostTensor::new([3], vec![1.0, 2.0, 3.0]).unwrap()).unwrap();
    }
    parameters
}

fn part(c: &Context, gradients: &[(&str, &[f32])]) -> BTreeMap<String, Tensor> {
    gradients.iter().map(|(name, values)| ((*name).to_owned(), t(c, &[values.len()], values))).collect()
}

#[test]
fn a_step_is_all_or_nothing() {
    let c = context();
    let other = context();
    let parameters = parameters(&c);
    let values = || ["a", "b", "c"].map(|name| download(parameters.get(name).unwrap()));
    let before = values();
    let mut optimiser = Optimiser::new(AdamW::default());
    let step = |optimiser: &mut Optimiser, gradients: BTreeMap<String, Tensor>, rate: f64| {
        let mut sums = Accumulated::default();
        sums.add(gradients).unwrap();
        optimiser.step(&parameters, &sums, rate, &|_| true)
    };
    let good: (&str, &[f32]) = ("a", &[1.0, -1.0, 0.5]);
    let mut foreign = part(&c, &[good]);
    foreign.extend(part(&other, &[("b", &[1.0; 3])]));
    for (what, gradients, rate) in [
        ("an unknown name", part(&c, &[good, ("z", &[1.0; 3])]), 0.1),
        ("another size", part(&c, &[good, ("c", &[1.0; 2])]), 0.1),
        ("another context", foreign, 0.1),
        ("a rate that is none", part(&c, &[good]), f64::NAN),
        ("a negative rate", part(&c, &[good]), -0.1),
    ] {
        assert!(step(&mut optimiser, gradients, rate).is_err(), "{what}");
        assert_eq!(
            (values(), optimiser.steps(), optimiser.moments().count()),
            (before.clone(), 0, 0),
            "{what}"
        );
    }
    step(&mut optimiser, part(&c, &[good]), 0.1).unwrap();
    assert!(values() != before && optimiser.steps() == 1 && optimiser.moments().count() == 1);
    let moment = || HostTensor::zeros([3]);
    let bad = [("a".to_owned(), [moment(), HostTensor::zeros([2])])];
    assert!(optimiser.restore(&parameters, 5, bad).is_err());
    assert!(optimiser.restore(&parameters, 5, [("z".to_owned(), [moment(), moment()])]).is_err());
    assert_eq!((optimiser.steps(), optimiser.moments().count()), (1, 1));
}

#[test]
fn a_sum_of_gradients_is_all_or_nothing() {
    let c = context();
    let mut sums = Accumulated::default();
    sums.add(part(&c, &[("a", &[1.0, 2.0]), ("b", &[3.0])])).unwrap();
    let values =
        |sums: &Accumulated| sums.iter().map(|(n, g)| (n.to_owned(), download(g))).collect::<Vec<_>>();
    let before = values(&sums);
    assert!(sums.add(part(&c, &[("a", &[1.0, 1.0]), ("b", &[1.0, 1.0])])).is_err());
    assert_eq!(values(&sums), before);
    for limit in [-1.0, f64::NAN, f64::NEG_INFINITY, -1e-300] {
        assert!(matches!(block_on(sums.clip(limit)), Err(Error::Input { .. })), "{limit}");
        assert_eq!(values(&sums), before);
    }
    let norm = block_on(sums.clip(f64::INFINITY)).unwrap();
    assert!((norm - 14.0f64.sqrt()).abs() < 1e-6 && values(&sums) == before);
    block_on(sums.clip(0.0)).unwrap();
    assert_eq!(values(&sums), [("a".to_owned(), vec![0.0; 2]), ("b".to_owned(), vec![0.0])]);
    sums.add(part(&c, &[("a", &[f32::NAN, 0.0])])).unwrap();
    assert!(block_on(sums.clip(1.0)).is_err());
}

#[test]
fn norms_of_any_size_are_right() {
    let c = context();
    for size in [1e-37, 1e-30, 1e-25, 1e-20, 1e-10, 1.0, 1e10, 1e17, 1e20, 1e30, 3e38f32] {
        let n = 5000;
        let values: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { size } else { -size }).collect();
        let mut sums = Accumulated::default();
        sums.add(part(&c, &[("a", &values[..100]), ("b", &values)])).unwrap();
        let wanted = f64::from(size) * ((n + 100) as f64).sqrt();
        let norm = block_on(sums.clip(1.0)).unwrap();
        assert!((norm / wanted - 1.0).abs() < 1e-5, "{size}: {norm}, {wanted}");
        if wanted > 1.0 {
            let after = block_on(sums.norm()).unwrap();
            assert!((after - 1.0).abs() < 1e-5, "{size}: clipped to {after}");
        }
    }
    // Sizes far apart: the large ones count, and do not make the others overflow.
    let mut sums = Accumulated::default();
    sums.add(part(&c, &[("a", &[3e30, 1e-30, 1.0]), ("b", &[4e30])])).unwrap();
    assert!((block_on(sums.norm()).unwrap() / 5e30 - 1.0).abs() < 1e-6);
}

/// A block that is trained reads a batch from around it: what it would read when it runs again is another.
#[test]
fn a_block_refuses_what_it_read_and_was_written_since() {
    let c = context();
    let batch = t(&c, &[4, 4], &[0.5; 16]);
    let run = |by_rows: bool| {
        let mut tape = Tape::record();
        let w = tape.leaf(t(&c, &[4, 4], &[0.25; 16]));
        let read = Var::constant(batch.clone());
        let y = if by_rows {
            tape.by_rows(&w, 4, move |tape, w| tape.linear(&read, w, None)).unwrap()
        } else {
            tape.checkpoint(std::slice::from_ref(&w), move |tape, v| {
                Ok(vec![tape.linear(&read, &v[0], None)?])
            })
            .unwrap()
            .remove(0)
        };
        (tape, y)
    };
    for by_rows in [false, true] {
        let seed = t(&c, &[4, 4], &[1.0; 16]);
        let (tape, y) = run(by_rows);
        assert!(tape.backward(&[(&y, seed.clone())]).is_ok());
        let (tape, y) = run(by_rows);
        batch.write(&[0.75; 16]).unwrap();
        refused(tape.backward(&[(&y, seed)]).map(|_| ()), "written after the forward pass");
    }
}
