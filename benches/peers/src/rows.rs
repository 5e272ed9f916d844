//! What is timed: operations on fixed shapes, and the numbers they are given.

use rand::RngExt;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use std::fmt;

/// Frames of the masked rows: the queries of one frame see the same keys.
pub const FRAMES: usize = 8;

/// One operation on one shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// `y (m, n) = x (m, k) · w (k, n)`; as `linear`, the weight lies as each library's own linear layer keeps it.
    Matmul { m: usize, n: usize, k: usize, linear: bool },
    /// `softmax(q kᵀ / √dim) v`, with keys hidden by frame where `masked`; with the gradients by q, k and v where
    /// `backward`.
    Attention {
        batch: usize,
        heads: usize,
        seq_q: usize,
        seq_kv: usize,
        dim: usize,
        masked: bool,
        backward: bool,
    },
    /// Over the last axis, with scale and shift.
    LayerNorm { rows: usize, cols: usize },
    /// Over the last axis.
    Softmax { rows: usize, cols: usize },
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Matmul { m, n, k, linear } => {
                write!(f, "{} m={m} n={n} k={k}", if linear { "linear" } else { "matmul" })
            }
            Self::Attention { batch, heads, seq_q, seq_kv, dim, masked, backward } => {
                let pass = if backward { "forward+backward" } else { "forward" };
                let mask = if masked { "masked" } else { "unmasked" };
                write!(f, "attention {pass} {mask} b={batch} h={heads} q={seq_q} kv={seq_kv} d={dim}")
            }
            Self::LayerNorm { rows, cols } => write!(f, "layer_norm {rows}x{cols}"),
            Self::Softmax { rows, cols } => write!(f, "softmax {rows}x{cols}"),
        }
    }
}

impl Op {
    /// Operations of one call; a multiply-add counts two, and hidden keys count like seen ones. A backward of attention
    /// counts 2.5 forwards, its products with the scores taken anew: what a library saves or wastes shows in its time.
    pub fn flops(&self) -> f64 {
        match *self {
            Self::Matmul { m, n, k, .. } => 2.0 * (m * n * k) as f64,
            Self::Attention { batch, heads, seq_q, seq_kv, dim, backward, .. } => {
                let forward = 4.0 * (batch * heads * seq_q * seq_kv * dim) as f64;
                if backward { 3.5 * forward } else { forward }
            }
            Self::LayerNorm { rows, cols } => 9.0 * (rows * cols) as f64,
            Self::Softmax { rows, cols } => 8.0 * (rows * cols) as f64,
        }
    }

    /// The largest difference between two libraries' results, as a share of the largest number among them. f32 sums of
    /// up to 8960 terms in any order stay below 1e-5 of it; the rest is room for their ways to take exp.
    pub fn tolerance(&self) -> f64 {
        1e-4
    }
}

/// All rows, the cheapest first within each operation.
pub fn all() -> Vec<Op> {
    let matmul = |m, n, k, linear| Op::Matmul { m, n, k, linear };
    let mut rows = vec![
        Op::Softmax { rows: 8192, cols: 1024 },
        Op::LayerNorm { rows: 8192, cols: 1536 },
        matmul(1024, 1024, 1024, false),
        matmul(2048, 2048, 2048, false),
        // A feed-forward layer of Wan 1.3B on one latent frame.
        matmul(1560, 1536, 8960, true),
    ];
    for backward in [false, true] {
        for (heads, seq_q, seq_kv, dim) in [(8, 1024, 1024, 64), (12, 4096, 512, 128)] {
            for masked in [false, true] {
                rows.push(Op::Attention { batch: 1, heads, seq_q, seq_kv, dim, masked, backward });
            }
        }
    }
    rows
}

/// The numbers of a row, the same for every library.
pub struct Inputs {
    /// Row-major: x and w `(k, n)` of a matmul; q, k, v and the gradient of the output of attention, each
    /// `(batch, seq, heads, dim)`; x, scale and shift of a layer norm; x of a softmax.
    pub tensors: Vec<Vec<f32>>,
    /// `(FRAMES, seq_kv)`: keys that a frame's queries do not see; a quarter of them, scattered, so that no tile of keys
    /// can be left out as a whole. Empty without a mask.
    pub hidden: Vec<bool>,
}

impl Inputs {
    pub fn of(op: &Op) -> Self {
        let mut rng = Pcg64::seed_from_u64(7);
        let mut noise = |n: usize, amplitude: f32| -> Vec<f32> {
            (0..n).map(|_| rng.random_range(-amplitude..amplitude)).collect()
        };
        let mut hidden = Vec::new();
        let tensors = match *op {
            Op::Matmul { m, n, k, .. } => vec![noise(m * k, 1.0), noise(k * n, 1.0)],
            Op::Attention { batch, heads, seq_q, seq_kv, dim, masked, .. } => {
                let (q, kv) = (batch * seq_q * heads * dim, batch * seq_kv * heads * dim);
                // Scores of a few units, so that rows are neither flat nor one-hot.
                let tensors = vec![noise(q, 2.0), noise(kv, 2.0), noise(kv, 1.0), noise(q, 1.0)];
                if masked {
                    hidden = noise(FRAMES * seq_kv, 1.0).into_iter().map(|x| x < -0.5).collect();
                }
                tensors
            }
            Op::LayerNorm { rows, cols } => vec![noise(rows * cols, 2.0), noise(cols, 1.0), noise(cols, 1.0)],
            Op::Softmax { rows, cols } => vec![noise(rows * cols, 4.0)],
        };
        Self { tensors, hidden }
    }

    /// Whether query `q` of `seq_q` does not see key `key` of `seq_kv`.
    pub fn hides(&self, q: usize, key: usize, seq_q: usize, seq_kv: usize) -> bool {
        self.hidden[q / seq_q.div_ceil(FRAMES) * seq_kv + key]
    }
}

/// `(batch, a, b, dim)` as `(batch, b, a, dim)`: between `(seq, heads)` and `(heads, seq)`.
pub fn swapped(values: &[f32], [batch, a, b, dim]: [usize; 4]) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for n in 0..batch {
        for j in 0..b {
            for i in 0..a {
                let from = ((n * a + i) * b + j) * dim;
                out.extend_from_slice(&values[from..from + dim]);
            }
        }
    }
    out
}

/// `(rows, cols)` as `(cols, rows)`.
pub fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|c| (0..rows).map(move |r| values[r * cols + c])).collect()
}
