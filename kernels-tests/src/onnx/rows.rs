//! Operators on rows and elements: norms, softmax, gelu, silu, products, look-ups and rotary position.

use super::{Case, Runner};
use foveal::HostTensor;
use foveal::kernels::elementwise::{Each, Gelu, GeluErf, Silu, WeightedSum};
use foveal::kernels::matmul::{Epilogue, Layout, Matmul};
use foveal::kernels::rowwise::{
    LayerNorm, LayerNormProblem, RmsNorm, RmsNormProblem, Rope, Softmax, SoftmaxProblem,
};
use foveal::kernels::token::Embedding;

/// ONNX's default of both norms.
const EPSILON: f64 = 1e-5;

/// An axis counted from the front, and the product of the sizes before it and from it on.
fn split(case: &Case, x: &HostTensor, default: i64) -> (usize, usize, usize) {
    let dims = x.shape().dims();
    let axis = case.integer("axis").unwrap_or(default);
    let axis = if axis < 0 { axis + dims.len() as i64 } else { axis } as usize;
    (axis, dims[..axis].iter().product(), dims[axis..].iter().product())
}

/// Everything from the axis on is one row: that is what ONNX's norms normalise over.
pub(super) fn layer_norm(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let [x, w, b, y] = ["X", "W", "B", "Y"].map(|name| case.tensor(name));
    let (x, w, b, y) = (x?, w?, b?, y?);
    let (_, rows, cols) = split(case, &x, -1);
    let eps = case.number("epsilon").unwrap_or(EPSILON) as f32;
    let affine = LayerNormProblem { rows, cols, groups: 1, modulated: false, eps };
    let inputs = |w: Vec<f32>| [x.data().to_vec(), w, b.data().to_vec()];
    run.each(&LayerNorm(affine), &inputs(w.data().to_vec()), |judge, out| {
        judge.near("Y", &out[0], y.data())
    })?;
    // The adaptive form multiplies by 1 + scale.
    let scale = w.data().iter().map(|w| w - 1.0).collect();
    let modulated = LayerNorm(LayerNormProblem { modulated: true, ..affine });
    run.each(&modulated, &inputs(scale), |judge, out| judge.near("Y", &out[0], y.data()))
}

pub(super) fn rms_norm(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let (x, w, y) = (case.tensor("X")?, case.tensor("W")?, case.tensor("Y")?);
    let (_, rows, cols) = split(case, &x, -1);
    let eps = case.number("epsilon").unwrap_or(EPSILON) as f32;
    let kernel = RmsNorm(RmsNormProblem { rows, cols, eps, rope: None });
    let inputs = [x.data().to_vec(), w.data().to_vec()];
    run.each(&kernel, &inputs, |judge, out| judge.near("Y", &out[0], y.data()))
}

/// Values with one axis moved to the end.
fn axis_last(x: &HostTensor, axis: usize) -> Vec<f32> {
    let dims = x.shape().dims();
    let (size, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
    let at = |row: usize, i: usize| x.data()[(row / inner * size + i) * inner + row % inner];
    (0..x.data().len() / size).flat_map(|row| (0..size).map(move |i| at(row, i))).collect()
}

/// Any axis: rows are gathered on the host.
pub(super) fn softmax(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let (x, y) = (case.tensor("x")?, case.tensor("y")?);
    let (axis, ..) = split(case, &x, -1);
    let cols = x.shape().dims()[axis];
    let kernel = Softmax(SoftmaxProblem { rows: x.data().len() / cols, cols, scale: 1.0 });
    let expected = axis_last(&y, axis);
    run.each(&kernel, &[axis_last(&x, axis)], |judge, out| judge.near("y", &out[0], &expected))
}

pub(super) fn gelu(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let (x, y) = (case.tensor("x")?, case.tensor("y")?);
    let (n, inputs) = (x.data().len(), [x.data().to_vec()]);
    if case.attributes.get("approximate").and_then(|v| v.as_str()) == Some("tanh") {
        return run.each(&Each::<Gelu>::new(n), &inputs, |judge, out| judge.near("y", &out[0], y.data()));
    }
    run.each(&Each::<GeluErf>::new(n), &inputs, |judge, out| judge.near("y", &out[0], y.data()))
}

/// `silu(x) = x sigmoid(x)`, and `swish(x) = silu(alpha x) / alpha`.
pub(super) fn silu(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let (x, y) = (case.tensor("x")?, case.tensor("y")?);
    let alpha = case.number("alpha").unwrap_or(1.0) as f32;
    let pairs = x.data().iter().zip(y.data());
    let expected: Vec<f32> = match case.op.as_str() {
        "Sigmoid" => pairs.map(|(x, y)| x * y).collect(),
        _ => pairs.map(|(_, y)| alpha * y).collect(),
    };
    let kernel = Each::<Silu>::new(x.data().len());
    let x = x.data().iter().map(|x| alpha * x).collect();
    run.each(&kernel, &[x], |judge, out| judge.near("y", &out[0], &expected))
}

/// Rows along the axis are gathered by the kernel; a negative index counts from the end, which the host resolves, since
/// ids are unsigned.
pub(super) fn gather(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let (data, indices, y) = (case.tensor("data")?, case.tensor("indices")?, case.tensor("y")?);
    let (axis, outer, from) = split(case, &data, 0);
    let vocab = data.shape().dims()[axis];
    let (dim, tokens) = (from / vocab, indices.data().len());
    let ids: Vec<f32> = indices.data().iter().map(|&i| if i < 0.0 { i + vocab as f32 } else { i }).collect();
    let kernel = Embedding { vocab, dim, tokens };
    for (table, expected) in data.data().chunks(vocab * dim).zip(y.data().chunks(tokens * dim)) {
        let inputs = [table.to_vec(), ids.clone()];
        run.each(&kernel, &inputs, |judge, out| judge.near("y", &out[0], expected))?;
    }
    if y.data().len() == outer * tokens * dim { Ok(()) } else { Err(format!("y is {}", y.shape())) }
}

fn transposed(values: &[f32], cols: usize) -> Vec<f32> {
    let rows = values.len() / cols;
    (0..values.len()).map(|at| values[at % rows * cols + at / rows]).collect()
}

/// `x w` with the weight as the operator gives it, and transposed in the other layout.
fn both_layouts(
    run: &Runner<'_>,
    [m, n, k]: [usize; 3],
    x: &[f32],
    columns: &[f32],
    epilogue: (Epilogue, &[Vec<f32>]),
    expected: &[f32],
) -> Result<(), String> {
    let (epilogue, rest) = epilogue;
    for (layout, w) in [(Layout::Columns, columns.to_vec()), (Layout::Rows, transposed(columns, n))] {
        let inputs: Vec<Vec<f32>> = [x.to_vec(), w].into_iter().chain(rest.iter().cloned()).collect();
        let kernel = Matmul { m, n, k, layout, epilogue, parts: 1, piece: None };
        run.each(&kernel, &inputs, |judge, out| judge.near("y", &out[0], expected))?;
    }
    Ok(())
}

/// `y = alpha a b + beta c`: factors of one are the product's own epilogues; others are a sum of two tensors after it.
/// The left factor has one layout here, so `transA` is undone on the host.
pub(super) fn gemm(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let (a, b, y) = (case.tensor("a")?, case.tensor("b")?, case.tensor("y")?);
    let (&[a_rows, a_cols], &[m, n]) = (a.shape().dims(), y.shape().dims()) else {
        return Err("not matrices".into());
    };
    let (k, x) = if case.flag("transA") {
        (a_rows, transposed(a.data(), a_cols))
    } else {
        (a_cols, a.data().to_vec())
    };
    let columns = if case.flag("transB") { transposed(b.data(), k) } else { b.data().to_vec() };
    let c = if case.has("c") { case.tensor("c")? } else { HostTensor::zeros([1]) };
    let c_cols = c.shape().dims().last().copied().unwrap_or(1);
    let c_rows = c.data().len() / c_cols;
    let summand: Vec<f32> =
        (0..m * n).map(|at| c.data()[at / n % c_rows * c_cols + at % n % c_cols]).collect();
    let (alpha, beta) =
        (case.number("alpha").unwrap_or(1.0) as f32, case.number("beta").unwrap_or(1.0) as f32);
    let sizes = [m, n, k];
    if (alpha, beta) == (1.0, 1.0) {
        // A zero bias and the summand as residual; where rows share it, as a bias; where there is none, nothing.
        let residual = [vec![0.0; n], summand.clone()];
        both_layouts(run, sizes, &x, &columns, (Epilogue::BiasResidual, &residual), y.data())?;
        let gated = [vec![0.0; n], summand.clone(), vec![1.0; n]];
        let gate = Epilogue::BiasGateResidual { groups: 1 };
        both_layouts(run, sizes, &x, &columns, (gate, &gated), y.data())?;
        if c_rows == 1 {
            let bias = [summand[..n].to_vec()];
            both_layouts(run, sizes, &x, &columns, (Epilogue::Bias, &bias), y.data())?;
        }
        if !case.has("c") {
            both_layouts(run, sizes, &x, &columns, (Epilogue::None, &[]), y.data())?;
        }
        return Ok(());
    }
    for layout in [Layout::Columns, Layout::Rows] {
        let w = if layout == Layout::Rows { transposed(&columns, n) } else { columns.clone() };
        let product = Matmul { m, n, k, layout, epilogue: Epilogue::None, parts: 1, piece: None };
        run.each(&product, &[x.clone(), w], |judge, out| {
            let sum = WeightedSum { n: m * n, weights: vec![alpha, beta] };
            run.each(&sum, &[out[0].clone(), summand.clone()], |sum, out| {
                judge.and(sum).near("y", &out[0], y.data())
            })
        })?;
    }
    Ok(())
}

/// Products over batches that broadcast, one call each; vectors are matrices of one row or column.
pub(super) fn matmul(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let (a, b, c) = (case.tensor("a")?, case.tensor("b")?, case.tensor("c")?);
    let (mut left, mut right) = (a.shape().dims().to_vec(), b.shape().dims().to_vec());
    if left.len() == 1 {
        left.insert(0, 1);
    }
    if right.len() == 1 {
        right.push(1);
    }
    let (m, k, n) = (left[left.len() - 2], left[left.len() - 1], right[right.len() - 1]);
    let (left, right) = (&left[..left.len() - 2], &right[..right.len() - 2]);
    let rank = left.len().max(right.len());
    let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    let batch: Vec<usize> = (0..rank).map(|axis| size(left, axis).max(size(right, axis))).collect();
    // Number of a factor's matrix for a place in the broadcast batch.
    let number = |dims: &[usize], mut place: usize| {
        let (mut at, mut stride) = (0, 1);
        for axis in (0..rank).rev() {
            at += place % batch[axis] % size(dims, axis) * stride;
            stride *= size(dims, axis);
            place /= batch[axis];
        }
        at
    };
    let count: usize = batch.iter().product();
    if c.data().len() != count * m * n {
        return Err(format!("c is {}, expected {count} matrices of {m} x {n}", c.shape()));
    }
    for place in 0..count {
        let part = |values: &[f32], of: usize, len: usize| values[of * len..(of + 1) * len].to_vec();
        let x = part(a.data(), number(left, place), m * k);
        let w = part(b.data(), number(right, place), k * n);
        let expected = part(c.data(), place, m * n);
        both_layouts(run, [m, n, k], &x, &w, (Epilogue::None, &[]), &expected)?;
    }
    Ok(())
}

/// The rotary position of `rms_norm`, which turns neighbouring columns by a table: a row is a token with all its heads.
///
/// ONNX's operator does not normalise, so its answer is multiplied by the row's own reciprocal norm (a rotation is
/// linear). Its default pairs columns half a head apart: columns are rearranged on the host. Columns beyond
/// `rotary_embedding_dim` get the angle 0. It has one axis of positions where ours has three, so the sequence is laid
/// along frames, along rows and along columns in turn, and each time the pairs that turn with that axis are compared.
pub(super) fn rotary(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let (input, output) = (case.tensor("input")?, case.tensor("output")?);
    let (cos, sin) = (case.tensor("cos_cache")?, case.tensor("sin_cache")?);
    let (batch, heads, seq, head_dim, heads_first) = match *input.shape().dims() {
        [batch, heads, seq, dim] => (batch, heads, seq, dim, true),
        [batch, seq, all] => {
            let heads = case.integer("num_heads").unwrap_or(1) as usize;
            (batch, heads, seq, all / heads, false)
        }
        _ => return Err(format!("input is {}", input.shape())),
    };
    let (pairs, rotary) = (head_dim / 2, case.integer("rotary_embedding_dim").unwrap_or(0) as usize);
    let turning = if rotary == 0 { pairs } else { rotary / 2 };
    let ids = if case.has("position_ids") { Some(case.tensor("position_ids")?) } else { None };
    // Column of ONNX that is column `2 j + side` here.
    let column = |j: usize, side: usize| match (case.flag("interleaved"), j < turning) {
        (true, _) | (_, false) => 2 * j + side,
        (false, true) => j + side * turning,
    };
    let rows_of = |t: &HostTensor, b: usize| -> Vec<f32> {
        let at = |s: usize, h: usize, d: usize| match heads_first {
            true => ((b * heads + h) * seq + s) * head_dim + d,
            false => ((b * seq + s) * heads + h) * head_dim + d,
        };
        let cols = (0..seq * heads).flat_map(|i| (0..head_dim).map(move |c| (i / heads, i % heads, c)));
        cols.map(|(s, h, c)| t.data()[at(s, h, column(c / 2, c % 2))]).collect()
    };
    let cols = heads * head_dim;
    for b in 0..batch {
        let x = rows_of(&input, b);
        let table: Vec<f32> = (0..seq * pairs)
            .flat_map(|i| {
                let (s, j) = (i / pairs, i % pairs);
                // With position ids the caches are (positions, pairs), without (batch, seq, pairs).
                let row = ids.as_ref().map_or(b * seq + s, |ids| ids.data()[b * seq + s] as usize);
                let of = |cache: &HostTensor| cache.data()[row * turning + j];
                if j < turning { [of(&cos), of(&sin)] } else { [1.0, 0.0] }
            })
            .collect();
        let norm = |row: &[f32]| row.iter().map(|x| f64::from(x * x)).sum::<f64>() / cols as f64 + EPSILON;
        let expected: Vec<f32> = rows_of(&output, b)
            .chunks(cols)
            .zip(x.chunks(cols))
            .flat_map(|(y, x)| y.iter().map(|&y| (f64::from(y) / norm(x).sqrt()) as f32).collect::<Vec<_>>())
            .collect();
        let third = pairs / 3;
        let axes = [0..pairs - 2 * third, pairs - 2 * third..pairs - third, pairs - third..pairs];
        for (axis, own) in axes.into_iter().enumerate() {
            let mut grid = [1; 3];
            grid[axis] = seq;
            let rope = Rope { heads, head_dim, grid, first_token: 0, positions: seq };
            let kernel = RmsNorm(RmsNormProblem { rows: seq, cols, eps: EPSILON as f32, rope: Some(rope) });
            let chosen = |values: &[f32]| -> Vec<f32> {
                let own = |(at, _): &(usize, &f32)| own.contains(&(at % head_dim / 2));
                values.iter().enumerate().filter(own).map(|(_, &v)| v).collect()
            };
            let inputs = [x.clone(), vec![1.0; cols], table.clone()];
            run.each(&kernel, &inputs, |judge, out| {
                judge.near("output", &chosen(&out[0]), &chosen(&expected))
            })?;
        }
    }
    Ok(())
}
