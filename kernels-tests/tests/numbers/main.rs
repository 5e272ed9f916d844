//! Right numbers at the ends of what numbers can be: long sums, large scores and norms, NaN that is seen and NaN that is hidden,
//! and where masks that compare positions stand. Small inputs with the value that is right, through the functions that users
//! call; the registry's cases, on every way to share the work, are in `numerics`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

mod hidden;
mod norms;
mod options;
mod positions;
mod refusals;
mod scores;
mod seen;
mod sums;

use foveal::autograd::{Attend, Tape, Var};
use foveal::block_on;
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Tables};
use foveal::{Context, ContextOptions, Tensor};

fn context() -> Context {
    kernels_tests::devices::compile_unoptimised();
    block_on(Context::new(ContextOptions::default())).unwrap()
}

fn t(context: &Context, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(context, shape, values).unwrap()
}

/// A tensor of one number.
fn full(context: &Context, shape: &[usize], value: f32) -> Tensor {
    t(context, shape, &vec![value; shape.iter().product()])
}

fn download(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

#[track_caller]
fn close(found: &[f32], expected: &[f32], rtol: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let right = if e.is_nan() { f.is_nan() } else { (f - e).abs() <= rtol * e.abs() };
        assert!(right, "[{i}] found {f}, expected {e}: {found:?}");
    }
}

#[track_caller]
fn all_nan(found: &[f32]) {
    assert!(found.iter().all(|v| v.is_nan()), "{found:?}");
}

/// One sequence and one head.
fn shape(seq_q: usize, seq_kv: usize, head_dim: usize) -> AttentionShape {
    AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q, seq_kv, head_dim }
}

/// o, lse, and the gradients by q, k and v of Σ dO · o, with what else was asked for read back too.
struct Attended {
    o: Vec<f32>,
    lse: Vec<f32>,
    entropy: Option<Vec<f32>>,
    gradients: [Vec<f32>; 3],
}

fn attended(
    context: &Context,
    problem: &AttentionProblem,
    tables: &Tables,
    [q, k, v, d_o]: [&[f32]; 4],
) -> Attended {
    let AttentionShape { batch, heads, kv_heads, seq_q, seq_kv, head_dim } = problem.shape;
    let (of_q, of_k) = ([batch, seq_q, heads, head_dim], [batch, seq_kv, kv_heads, head_dim]);
    let tables = tables.upload(context, problem).unwrap();
    let tensors = [t(context, &of_q, q), t(context, &of_k, k), t(context, &of_k, v)];
    let out = foveal::kernels::attention::attention(problem, &tensors[0], &tensors[1], &tensors[2], &tables)
        .unwrap();
    let mut tape = Tape::record();
    let [q, k, v] = tensors.map(|tensor| tape.leaf(tensor));
    let recorded = tape.attend(&Attend::new(problem, &q, &k, &v).with_tables(&tables)).unwrap();
    let gradients = tape.backward(&[(&recorded.o, t(context, &of_q, d_o))]).unwrap();
    let of = |var: &Var| download(&gradients.of(var).unwrap().unwrap());
    Attended {
        o: download(&out.o),
        lse: download(&out.lse().unwrap()),
        entropy: problem.readout.entropy.then(|| download(&out.entropy().unwrap())),
        gradients: [of(&q), of(&k), of(&v)],
    }
}
