//! `Attention` through the attention kernels.
//!
//! Each case is stated in every way the kernels have for it. A rule (causal, window) is the mask module of that name,
//! with the keys cut so that the last query stands at the last key as the kernels align them, and a relative table of
//! zeros and "hidden". Lengths are key lengths. A mask tensor, and once more every rule, is a temporal table with one
//! frame a query; where heads or sequences differ, one call a head. Widths that are no multiple of four, and values
//! wider than keys, are filled up with zeros under ONNX's scale; the surplus columns of the result must be zero, which
//! the comparison covers. Scores that the case shows are held against the softmax statistics, a shown map against the columns
//! and the column mass.

use super::attention_shape::Arranged;
use super::{Case, Runner};
use foveal::kernels::attention::{
    Attention, AttentionColumnMass, AttentionColumns, AttentionProblem, AttentionShape, Mask, Mass, Readout,
    Tables,
};

/// Far enough to stand for "no bound".
const FAR: usize = 1 << 20;

pub(super) fn attention(case: &Case, run: &Runner<'_>) -> Result<(), String> {
    let a = Arranged::new(case)?;
    if !a.masked {
        by_module(&a, run)?;
    }
    by_table(&a, run)?;
    if !case.has("qk_matmul_output") {
        return Ok(());
    }
    let shown = case.tensor("qk_matmul_output")?;
    match case.integer("qk_matmul_output_mode").unwrap_or(0) {
        0 => scores(&a, run, &shown.data().iter().zip(&a.bias).map(|(s, b)| s + b).collect::<Vec<_>>()),
        2 => scores(&a, run, shown.data()),
        3 => map(&a, run, shown.data()),
        mode => Err(format!("scores of mode {mode}")),
    }
}

fn problem(a: &Arranged, [batch, heads, kv_heads, seq_kv]: [usize; 4], mask: Mask) -> AttentionProblem {
    let shape = AttentionShape { batch, heads, kv_heads, seq_q: a.seq_q, seq_kv, head_dim: a.head_dim };
    AttentionProblem { scale: a.scale, mask, ..AttentionProblem::new(shape) }
}

fn packed(tables: Tables, problem: &AttentionProblem) -> Result<Vec<f32>, String> {
    tables.packed(problem).map_err(|e| e.to_string())
}

fn output(
    run: &Runner<'_>,
    problem: AttentionProblem,
    [q, k, v, y]: [Vec<f32>; 4],
    tables: Tables,
) -> Result<(), String> {
    let inputs = [q, k, v, packed(tables, &problem)?];
    run.each(&Attention::from(problem), &inputs, |judge, out| judge.near("Y", &out[0], &y))
}

/// Rules and lengths as the kernels' own.
fn by_module(a: &Arranged, run: &Runner<'_>) -> Result<(), String> {
    let whole = || [a.q.clone(), a.k.clone(), a.v.clone(), a.y.clone()];
    let sizes = [a.batch, a.heads, a.kv_heads, a.seq_kv];
    if !a.rules.any() {
        let plain = problem(a, sizes, Mask::None);
        return match &a.lengths {
            None => output(run, plain, whole(), Tables::default()),
            Some(n) => {
                let lengths: Vec<u32> = n.iter().map(|&n| n as u32).collect();
                let tables = Tables::default().with_key_lengths(&lengths[..]);
                output(run, AttentionProblem { key_lengths: true, ..plain }, whole(), tables)
            }
        };
    }
    let left = a.rules.left.unwrap_or(FAR);
    let right = if a.rules.causal { 0 } else { a.rules.right.unwrap_or(FAR) };
    let bounded = a.rules.left.is_some() || a.rules.right.is_some();
    for b in 0..a.batch {
        // The last query stands at the last key when the keys end with it. Cutting them there takes none away that a
        // window to the right would see only where it reaches no further.
        let keys = (a.seq_q as i64 + a.offset[b]) as usize;
        let sees_further = right > 0 && keys < a.seq_kv;
        if keys == 0 || keys > a.seq_kv || sees_further {
            continue;
        }
        let part = || a.sequence(b, keys);
        let window = problem(a, [1, a.heads, a.kv_heads, keys], Mask::Window { left, right });
        output(run, window.clone(), part(), Tables::default())?;
        if !bounded {
            output(
                run,
                AttentionProblem { mask: Mask::Causal, ..window.clone() },
                part(),
                Tables::default(),
            )?;
        }
        // The same over the distance from query to key; both ends of the table are distances that occur.
        let distance = |d: usize| d as i64 + 1 - a.seq_q as i64 - a.offset[b];
        let seen = |d: usize| (-(left as i64)..=right as i64).contains(&distance(d));
        let biases = (0..a.seq_q + keys - 1).map(|d| if seen(d) { 0.0 } else { f32::MIN });
        let biases: Vec<f32> = biases.collect();
        let relative = AttentionProblem { mask: Mask::Relative, ..window };
        let biases = biases.repeat(a.heads);
        output(run, relative, part(), Tables::default().with_mask(&biases[..]))?;
    }
    Ok(())
}

/// Every bias from a table with one frame a query.
fn by_table(a: &Arranged, run: &Runner<'_>) -> Result<(), String> {
    let mask = Mask::Temporal { tokens_per_frame: 1 };
    if a.uniform() {
        let problem = problem(a, [a.batch, a.heads, a.kv_heads, a.seq_kv], mask);
        let whole = [a.q.clone(), a.k.clone(), a.v.clone(), a.y.clone()];
        let tables = Tables::default().with_mask(a.bias_of(0, 0));
        return output(run, problem, whole, tables);
    }
    each_head(a, |b, h| {
        let tables = Tables::default().with_mask(a.bias_of(b, h));
        output(run, problem(a, [1, 1, 1, a.seq_kv], mask), a.head(b, h), tables)
    })
}

fn each_head(a: &Arranged, mut of: impl FnMut(usize, usize) -> Result<(), String>) -> Result<(), String> {
    (0..a.batch * a.heads).try_for_each(|i| of(i / a.heads, i % a.heads))
}

/// The largest of a row of scores, and the logarithm of their sum relative to it; `None` where no key is seen.
fn softmax_of(row: &[f32]) -> Option<[f32; 2]> {
    let peak = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|&s| f64::from(s - peak).exp()).sum();
    (peak > f32::NEG_INFINITY).then_some([peak, total.ln() as f32])
}

/// Scores with their biases, against the statistics that leave the forward: their log-sum-exp in two parts.
fn scores(a: &Arranged, run: &Runner<'_>, shown: &[f32]) -> Result<(), String> {
    let mask = Mask::Temporal { tokens_per_frame: 1 };
    each_head(a, |b, h| {
        let len = a.seq_q * a.seq_kv;
        let rows = shown[(b * a.heads + h) * len..][..len].chunks(a.seq_kv);
        let of_rows: Vec<[f32; 2]> = rows.map(|row| softmax_of(row).unwrap_or([f32::MIN, 0.0])).collect();
        let expected: Vec<f32> =
            [0, 1].into_iter().flat_map(|part| of_rows.iter().map(move |r| r[part])).collect();
        let [q, k, v, _] = a.head(b, h);
        let problem = problem(a, [1, 1, 1, a.seq_kv], mask);
        let tables = Tables::default().with_mask(a.bias_of(b, h));
        let inputs = [q, k, v, packed(tables, &problem)?];
        let kernel = Attention::from(problem);
        run.each(&kernel, &inputs, |judge, out| judge.near("statistics", &out[1], &expected))
    })
}

/// The map itself, read through its reductions: every key a group of its own, then the mass of each key.
fn map(a: &Arranged, run: &Runner<'_>, shown: &[f32]) -> Result<(), String> {
    let (seq_q, seq_kv) = (a.seq_q, a.seq_kv);
    each_head(a, |b, h| {
        let p = &shown[(b * a.heads + h) * seq_q * seq_kv..][..seq_q * seq_kv];
        let [q, k, v, _] = a.head(b, h);
        let plain = problem(a, [1, 1, 1, seq_kv], Mask::Temporal { tokens_per_frame: 1 });
        let tables = || Tables::default().with_mask(a.bias_of(b, h));
        let inputs = [q.clone(), k.clone(), v, packed(tables(), &plain)?];
        // The statistics are those of each of the forward's variants, as exact as that one.
        run.each(&Attention::from(plain.clone()), &inputs, |made, forward| {
            let lse = &forward[1];
            let identity: Vec<f32> =
                (0..seq_kv * seq_kv).map(|i| f32::from(u8::from(i / seq_kv == i % seq_kv))).collect();
            let readout = Readout::default().with_groups(seq_kv);
            let problem = AttentionProblem { readout, column_factor: 1.0, ..plain.clone() };
            let weights = packed(tables().with_columns(&identity[..]), &problem)?;
            let columns = AttentionColumns(problem);
            let expected: Vec<f32> = (0..p.len()).map(|i| p[i % seq_q * seq_kv + i / seq_q]).collect();
            let inputs = [q.clone(), k.clone(), lse.clone(), weights, vec![0.0; p.len()]];
            run.each(&columns, &inputs, |judge, out| judge.and(made).near("columns", &out[0], &expected))?;

            let rows = vec![1.0 / seq_q as f32; seq_q];
            let of_key = |j: usize| p[j..].iter().step_by(seq_kv).copied();
            for mass in [Mass::Mean, Mass::Max] {
                let expected: Vec<f32> = (0..seq_kv)
                    .map(|j| match mass {
                        Mass::Mean => of_key(j).sum::<f32>() / seq_q as f32,
                        Mass::Max => of_key(j).fold(0.0, f32::max),
                    })
                    .collect();
                let readout = Readout::default().with_mass(mass);
                let problem = AttentionProblem { readout, ..plain.clone() };
                let weights = packed(tables().with_rows(&rows[..]).with_heads([1.0]), &problem)?;
                let inputs = [q.clone(), k.clone(), lse.clone(), weights];
                let kernel = AttentionColumnMass(problem);
                run.each(&kernel, &inputs, |judge, out| {
                    judge.and(made).near("mass", &out[0][..seq_kv], &expected)
                })?;
            }
            Ok(())
        })
    })
}
