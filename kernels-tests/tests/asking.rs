//! What a user may leave out, and what is answered where nothing was kept: the seed of a scalar, tables and maps of attention,
//! gradients of what lies between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::{Attend, Attended, Gradients, Keep, LinearThen, Tape, Var};
use foveal::block_on;
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mass, Readout, Tables};
use foveal::{Context, Dtype, Error, Result, Tensor};
use kernels_tests::golden::new_context;

fn t(context: &Context, shape: &[usize], seed: f64) -> Tensor {
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|i: usize| ((i as f64 * 0.739 + seed) * 1.93).sin() as f32).collect();
    Tensor::from_f32(context, shape, &values).unwrap()
}

fn download(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

fn of(gradients: &Gradients, var: &Var) -> Vec<f32> {
    download(&gradients.of(var).unwrap().expect("a gradient"))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T>, about: &str) {
    match outcome {
        Err(Error::Tape(message)) => assert!(message.contains(about), "{about}: {message}"),
        other => panic!("{about}: {other:?}"),
    }
}

#[test]
fn a_scalar_needs_no_seed() {
    let c = new_context().unwrap();
    let loss = |tape: &mut Tape| {
        let x = tape.leaf(t(&c, &[2, 3], 0.1));
        let loss = tape.mean_squared_error(&x, &t(&c, &[2, 3], 0.7)).unwrap();
        (x, loss)
    };
    let mut tape = Tape::record();
    let (x, l) = loss(&mut tape);
    let found = of(&tape.backward_from(&l).unwrap(), &x);
    let mut tape = Tape::record();
    let (x, l) = loss(&mut tape);
    let one = Tensor::from_f32(&c, [1], &[1.0]).unwrap();
    assert_eq!(found, of(&tape.backward(&[(&l, one)]).unwrap(), &x));
    assert!(found.iter().any(|g| *g != 0.0));

    // A scalar under any shape of one element.
    let mut tape = Tape::record();
    let (x, l) = loss(&mut tape);
    assert_eq!(of(&tape.backward_from(&l.reshape([1, 1, 1]).unwrap()).unwrap(), &x), found);

    let mut tape = Tape::record();
    let y = tape.leaf(t(&c, &[2, 3], 0.1));
    match tape.backward_from(&y) {
        Err(Error::Input { reason, .. }) => assert!(reason.contains("[2, 3]"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let mut tape = Tape::forward();
    let (_, l) = loss(&mut tape);
    refused(Tape::record().backward_from(&l), "no variable");
    let mut tape = Tape::record();
    let (_, l) = loss(&mut tape);
    refused(Tape::record().backward_from(&l), "another tape");
}

/// `y = gelu(h) + h` of `h = x wᵀ`.
fn chain(tape: &mut Tape, c: &Context) -> [Var; 4] {
    let (x, w) = (tape.leaf(t(c, &[4, 4], 0.1)), Var::constant(t(c, &[4, 4], 0.5)));
    let h = tape.linear(&x, &w, None).unwrap();
    let y = tape.gelu_erf(&h).unwrap();
    let y = tape.add(&y, &h).unwrap();
    let aside = tape.leaf(t(c, &[4], 0.3));
    [x, h, y, aside]
}

#[test]
fn a_gradient_that_was_not_kept_is_told_from_none() {
    let c = new_context().unwrap();
    let dy = t(&c, &[4, 4], 0.9);
    let mut tape = Tape::record();
    let [x, h, y, aside] = chain(&mut tape, &c);
    let plain = tape.backward(&[(&y, dy.clone())]).unwrap();
    refused(plain.of(&h), "`Tape::keep_gradient`");
    refused(plain.of(&y), "`Tape::keep_gradient`");
    assert!(plain.of(&aside).unwrap().is_none(), "nothing reached it");

    let mut tape = Tape::record();
    let [x_kept, h, y, aside] = chain(&mut tape, &c);
    tape.keep_gradient(&h).unwrap();
    tape.keep_gradient(&y).unwrap();
    tape.keep_gradient(&aside).unwrap();
    let kept = tape.backward(&[(&y, dy.clone())]).unwrap();
    assert_eq!(of(&kept, &x_kept), of(&plain, &x));
    assert_eq!(of(&kept, &y), download(&dy));
    assert!(kept.of(&aside).unwrap().is_none());
    // Against a tape on which the intermediate is a leaf.
    let mut tape = Tape::record();
    let leaf = tape.leaf(h.tensor().clone());
    let y_leaf = tape.gelu_erf(&leaf).unwrap();
    let y_leaf = tape.add(&y_leaf, &leaf).unwrap();
    let wanted = of(&tape.backward(&[(&y_leaf, dy.clone())]).unwrap(), &leaf);
    assert_eq!(of(&kept, &h), wanted);
    // In memory of its own.
    kept.of(&y).unwrap().unwrap().write(&[-7.0; 16]).unwrap();
    assert_eq!((of(&kept, &h), of(&kept, &x_kept)), (wanted, of(&plain, &x)));
    assert!(download(&dy)[0] != -7.0);
}

#[test]
fn gradients_of_blocks_are_kept_by_what_they_return() {
    let c = new_context().unwrap();
    let mut tape = Tape::record_keeping(Keep::Nothing);
    let x = tape.leaf(t(&c, &[4, 4], 0.1));
    let out = tape.checkpoint(std::slice::from_ref(&x), |t, v| Ok(vec![t.gelu_erf(&v[0])?])).unwrap();
    tape.keep_gradient(&out[0]).unwrap();
    let y = tape.gelu_erf(&out[0]).unwrap();
    let dy = t(&c, &[4, 4], 0.9);
    let gradients = tape.backward(&[(&y, dy.clone())]).unwrap();
    let mut tape = Tape::record();
    let leaf = tape.leaf(out[0].tensor().clone());
    let y = tape.gelu_erf(&leaf).unwrap();
    assert_eq!(of(&gradients, &out[0]), of(&tape.backward(&[(&y, dy)]).unwrap(), &leaf));
    assert!(gradients.of(&x).unwrap().is_some());

    let mut tape = Tape::record();
    let x = tape.leaf(t(&c, &[4, 4], 0.1));
    let keeping = |t: &mut Tape, v: &Var| -> Result<Var> {
        let y = t.gelu_erf(v)?;
        t.keep_gradient(&y)?;
        Ok(y)
    };
    let within = tape.checkpoint(std::slice::from_ref(&x), move |t, v| Ok(vec![keeping(t, &v[0])?]));
    refused(within, "have the block return it");
    refused(tape.by_rows(&x, 2, keeping), "have the block return it");
    let foreign = Tape::record().leaf(t(&c, &[4], 0.1));
    refused(tape.keep_gradient(&foreign), "another tape");
}

fn shape() -> AttentionShape {
    AttentionShape { batch: 2, heads: 4, kv_heads: 2, seq_q: 6, seq_kv: 5, head_dim: 8 }
}

fn qkv(c: &Context) -> [Tensor; 3] {
    let AttentionShape { batch, heads, kv_heads, seq_q, seq_kv, head_dim } = shape();
    let kv = |seed| t(c, &[batch, seq_kv, kv_heads, head_dim], seed);
    [t(c, &[batch, seq_q, heads, head_dim], 0.2), kv(1.2), kv(2.2)]
}

#[test]
fn tables_and_a_map_that_nobody_gave_are_the_natural_ones() {
    let c = new_context().unwrap();
    let AttentionShape { batch, heads, seq_q, seq_kv, .. } = shape();
    let identity: Vec<f32> =
        (0..seq_kv * seq_kv).map(|i| f32::from(u8::from(i / seq_kv == i % seq_kv))).collect();
    for (mass, [row, head]) in
        [(Mass::Mean, [1.0 / seq_q as f32, 1.0 / heads as f32]), (Mass::Max, [1.0, 1.0])]
    {
        let readout = Readout::default().with_groups(seq_kv).with_entropy().with_mass(mass);
        let problem = AttentionProblem { readout, ..AttentionProblem::new(shape()) };
        let tables = Tables::default()
            .with_columns(&identity[..])
            .with_rows(vec![row; seq_q])
            .with_heads(vec![head; heads]);
        assert_eq!(Tables::default().packed(&problem).unwrap(), tables.packed(&problem).unwrap());
        let tables = tables.upload(&c, &problem).unwrap();
        let map = Var::constant(Tensor::zeros(&c, [batch, seq_kv, seq_q], Dtype::F32).unwrap());
        let values = |given: bool| {
            let mut tape = Tape::record();
            let [q, k, v] = qkv(&c).map(|x| tape.leaf(x));
            let call = Attend::new(&problem, &q, &k, &v);
            let call = if given { call.with_tables(&tables).with_columns(&map) } else { call };
            let Attended { columns, entropy, mass, .. } = tape.attend(&call).unwrap();
            let read = [columns, entropy, mass].map(Option::unwrap);
            let seeds = [0, 1].map(|i: usize| (&read[i], t(&c, read[i].tensor().dims(), 0.4)));
            let gradient = of(&tape.backward(&seeds).unwrap(), &q);
            (read.map(|x| download(x.tensor())), gradient)
        };
        let ([columns, entropy, masses], gradient) = values(false);
        assert_eq!(([columns.clone(), entropy, masses], gradient), values(true), "{mass:?}");
        // Every key is a group, so a row's columns are all of its attention.
        for (b, part) in columns.chunks(seq_kv * seq_q).enumerate() {
            for row in 0..seq_q {
                let sum: f32 = part.iter().skip(row).step_by(seq_q).sum();
                assert!((sum - 1.0).abs() < 1e-5, "sequence {b}, row {row}: {sum}");
            }
        }
    }
    // Groups that are not the keys have no natural weights.
    let readout = Readout::default().with_groups(2);
    let problem = AttentionProblem { readout, ..AttentionProblem::new(shape()) };
    let [q, k, v] = qkv(&c).map(Var::constant);
    match Tape::forward().attend(&Attend::new(&problem, &q, &k, &v)) {
        Err(Error::Shape { tensor, expected: 10, found: 0, .. }) => assert_eq!(tensor, "tables.columns"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_map_that_begins_in_a_block_is_there_when_the_block_runs_again() {
    let c = new_context().unwrap();
    let seq_kv = shape().seq_kv;
    let readout = Readout::default().with_groups(seq_kv);
    let problem = AttentionProblem { readout, ..AttentionProblem::new(shape()) };
    let run = |keep: Option<Keep>| {
        let mut tape = keep.map_or_else(Tape::record, Tape::record_keeping);
        let [q, k, v] = qkv(&c);
        let q = tape.leaf(q);
        let (problem, k, v) = (problem.clone(), Var::constant(k), Var::constant(v));
        // The gradient of the gelu reads the map's values.
        let block = move |tape: &mut Tape, x: &[Var]| {
            let map = tape.attend(&Attend::new(&problem, &x[0], &k, &v))?.columns.unwrap();
            Ok(vec![tape.gelu_erf(&map)?])
        };
        let inputs = std::slice::from_ref(&q);
        let y = if keep.is_some() { tape.checkpoint(inputs, block) } else { block(&mut tape, inputs) };
        let y = y.unwrap().remove(0);
        of(&tape.backward(&[(&y, t(&c, y.tensor().dims(), 0.6))]).unwrap(), &q)
    };
    let plain = run(None);
    assert!(plain.iter().any(|g| *g != 0.0));
    for keep in [Keep::Attention, Keep::Nothing] {
        assert_eq!(run(Some(keep)), plain, "{keep:?}");
    }
}

#[test]
fn a_linear_layer_gives_gradients_to_what_is_a_variable() {
    let c = new_context().unwrap();
    let tensors = [t(&c, &[4, 8], 0.1), t(&c, &[12, 8], 0.3), t(&c, &[12], 0.5), t(&c, &[4, 12], 0.7)];
    let gate = t(&c, &[2, 12], 1.1);
    let run = |wanted: [bool; 4], kind: usize, with_bias: bool| {
        let mut tape = Tape::record();
        let all: Vec<Var> = tensors
            .iter()
            .zip(wanted)
            .map(|(x, wanted)| if wanted { tape.leaf(x.clone()) } else { Var::constant(x.clone()) })
            .collect();
        let [x, w, bias, residual] = &all[..] else { panic!("four") };
        let then = [
            LinearThen::Nothing,
            LinearThen::Gelu,
            LinearThen::GeluErf,
            LinearThen::Residual(residual),
            LinearThen::GatedResidual { gate: &gate, residual },
        ][kind];
        let y = tape.linear_then(x, w, with_bias.then_some(bias), then).unwrap();
        assert_eq!(y.tensor().dims(), [4, 12]);
        let gradients = tape.backward(&[(&y, t(&c, &[4, 12], 0.9))]).unwrap();
        let found = all.iter().map(|v| gradients.of(v).unwrap().map(|g| download(&g)));
        (download(y.tensor()), found.collect::<Vec<_>>())
    };
    for kind in 0..5 {
        for with_bias in [true, false] {
            let (y, all) = run([true; 4], kind, with_bias);
            let used = [true, true, with_bias, kind >= 3];
            for (i, gradient) in all.iter().enumerate() {
                assert_eq!(gradient.is_some(), used[i], "then {kind}, bias {with_bias}, input {i}");
                let alone = std::array::from_fn(|n| n == i);
                let (y_alone, found) = run(alone, kind, with_bias);
                assert_eq!((&y_alone, &found[i]), (&y, gradient), "then {kind}, bias {with_bias}, input {i}");
                assert_eq!(found.iter().flatten().count(), usize::from(used[i]));
            }
        }
    }
}

#[test]
fn what_follows_a_layer_without_a_bias_is_what_follows_one_with_a_bias_of_zero() {
    let c = new_context().unwrap();
    let tensors = [t(&c, &[4, 8], 0.1), t(&c, &[12, 8], 0.3), t(&c, &[4, 12], 0.7)];
    let zero = Var::constant(Tensor::zeros(&c, [12], Dtype::F32).unwrap());
    let gate = t(&c, &[2, 12], 1.1);
    let run = |kind: usize, bias: Option<&Var>| {
        let mut tape = Tape::record();
        let [x, w, residual] = tensors.each_ref().map(|x| tape.leaf(x.clone()));
        let then = [
            LinearThen::Gelu,
            LinearThen::GeluErf,
            LinearThen::Residual(&residual),
            LinearThen::GatedResidual { gate: &gate, residual: &residual },
        ][kind];
        let y = tape.linear_then(&x, &w, bias, then).unwrap();
        let gradients = tape.backward(&[(&y, t(&c, &[4, 12], 0.9))]).unwrap();
        let of = |v: &Var| gradients.of(v).unwrap().map(|g| download(&g)).unwrap_or_default();
        [download(y.tensor()), of(&x), of(&w), of(&residual)]
    };
    for kind in 0..4 {
        for (found, wanted) in run(kind, None).iter().zip(&run(kind, Some(&zero))) {
            assert_eq!(found.len(), wanted.len());
            // Two kernels instead of one: a rounding in between.
            assert!(
                found.iter().zip(wanted).all(|(f, w)| (f - w).abs() <= 2e-6 * w.abs().max(1.0)),
                "{kind}"
            );
        }
    }
}

#[test]
fn a_scale_of_several_rows_wants_no_gradient() {
    let c = new_context().unwrap();
    let mut tape = Tape::record();
    let x = tape.leaf(t(&c, &[4, 8], 0.1));
    let (scale, shift) = (tape.leaf(t(&c, &[2, 8], 0.3)), Var::constant(t(&c, &[2, 8], 0.5)));
    match tape.layer_norm(&x, &scale, &shift, 1e-5) {
        Err(Error::Shape { kernel: "layer_norm", tensor, expected: 8, found: 16, .. }) => {
            assert_eq!(tensor, "scale");
        }
        other => panic!("{other:?}"),
    }
    let scale = Var::constant(scale.tensor().clone());
    let y = tape.layer_norm(&x, &scale, &shift, 1e-5).unwrap();
    let gradients = tape.backward(&[(&y, t(&c, &[4, 8], 0.9))]).unwrap();
    assert!(of(&gradients, &x).iter().any(|g| *g != 0.0));
}
