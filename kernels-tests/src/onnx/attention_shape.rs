//! An `Attention` case brought to the kernels' arrangement: heads innermost but one, past keys in front, one width of
//! heads, and everything that hides a key as one bias.

use super::Case;
use foveal::HostTensor;

/// What hides keys, apart from a mask tensor: rules that the kernels have as mask modules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rules {
    pub(super) causal: bool,
    pub(super) left: Option<usize>,
    pub(super) right: Option<usize>,
}

impl Rules {
    pub(super) fn any(&self) -> bool {
        self.causal || self.left.is_some() || self.right.is_some()
    }

    /// Whether the query at absolute position `at` sees a key.
    fn allows(&self, at: i64, key: i64) -> bool {
        (!self.causal || key <= at)
            && self.left.is_none_or(|left| key >= at - left as i64)
            && self.right.is_none_or(|right| key <= at + right as i64)
    }
}

/// A case, arranged.
pub(super) struct Arranged {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) seq_q: usize,
    pub(super) seq_kv: usize,
    /// Width of a head here: ONNX's larger one, rounded up to a multiple of four with zeros.
    pub(super) head_dim: usize,
    pub(super) scale: f32,
    pub(super) rules: Rules,
    /// Position of query 0 among the keys, by sequence.
    pub(super) offset: Vec<i64>,
    /// Keys of each sequence, where the case says so.
    pub(super) lengths: Option<Vec<usize>>,
    pub(super) masked: bool,
    /// (batch, seq_q, heads, head_dim)
    pub(super) q: Vec<f32>,
    /// (batch, seq_kv, kv_heads, head_dim)
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) y: Vec<f32>,
    /// (batch, heads, seq_q, seq_kv), −∞ where hidden: mask, rules and lengths together.
    pub(super) bias: Vec<f32>,
}

/// A tensor with axes (batch, heads, seq, dim), whichever way ONNX has it.
struct Heads {
    batch: usize,
    heads: usize,
    seq: usize,
    dim: usize,
    heads_first: bool,
    data: Vec<f32>,
}

impl Heads {
    fn new(t: &HostTensor, heads: Option<i64>) -> Result<Self, String> {
        let data = t.data().to_vec();
        match (t.shape().dims(), heads) {
            (&[batch, heads, seq, dim], _) => Ok(Self { batch, heads, seq, dim, heads_first: true, data }),
            (&[batch, seq, all], Some(h)) => {
                let heads = h as usize;
                Ok(Self { batch, heads, seq, dim: all / heads, heads_first: false, data })
            }
            _ => Err(format!("{} is no sequence of heads", t.shape())),
        }
    }

    fn at(&self, b: usize, h: usize, s: usize, d: usize) -> f32 {
        let at = match self.heads_first {
            true => ((b * self.heads + h) * self.seq + s) * self.dim + d,
            false => ((b * self.seq + s) * self.heads + h) * self.dim + d,
        };
        self.data[at]
    }

    /// Itself after the past, then (batch, seq, heads, head_dim) padded with zeros.
    fn arranged(&self, past: Option<&Self>, head_dim: usize) -> Vec<f32> {
        let before = past.map_or(0, |p| p.seq);
        let value = |i: usize| {
            let (d, h) = (i % head_dim, i / head_dim % self.heads);
            let row = i / head_dim / self.heads;
            let (s, b) = (row % (before + self.seq), row / (before + self.seq));
            match past {
                _ if d >= self.dim => 0.0,
                Some(past) if s < before => past.at(b, h, s, d),
                _ => self.at(b, h, s - before, d),
            }
        };
        (0..self.batch * (before + self.seq) * self.heads * head_dim).map(value).collect()
    }
}

impl Arranged {
    pub(super) fn new(case: &Case) -> Result<Self, String> {
        if case.number("softcap").is_some_and(|cap| cap > 0.0) {
            return Err("softcap".into());
        }
        let heads_of = |name: &str, heads: &str| Heads::new(&case.tensor(name)?, case.integer(heads));
        let q = heads_of("Q", "q_num_heads")?;
        let (k, v) = (heads_of("K", "kv_num_heads")?, heads_of("V", "kv_num_heads")?);
        let y = heads_of("Y", "q_num_heads")?;
        let past = |name: &str| case.has(name).then(|| heads_of(name, "")).transpose();
        let (past_k, past_v) = (past("past_key")?, past("past_value")?);
        let before = past_k.as_ref().map_or(0, |p| p.seq);
        let (batch, heads, seq_q, seq_kv) = (q.batch, q.heads, q.seq, before + k.seq);
        let head_dim = q.dim.max(v.dim).next_multiple_of(4);
        let lengths: Option<Vec<usize>> = match case.has("nonpad_kv_seqlen") {
            true => Some(case.tensor("nonpad_kv_seqlen")?.data().iter().map(|&n| n as usize).collect()),
            false => None,
        };
        let window = |name: &str| case.integer(name).and_then(|n| usize::try_from(n).ok());
        let rules = Rules {
            causal: case.flag("is_causal"),
            left: window("left_window_size"),
            right: window("right_window_size"),
        };
        let offset = (0..batch).map(|b| match &lengths {
            Some(lengths) => lengths[b] as i64 - seq_q as i64,
            None => before as i64,
        });
        let mut arranged = Self {
            batch,
            heads,
            kv_heads: k.heads,
            seq_q,
            seq_kv,
            head_dim,
            scale: case.number("scale").map_or((q.dim as f32).powf(-0.5), |s| s as f32),
            rules,
            offset: offset.collect(),
            masked: case.has("attn_mask"),
            q: q.arranged(None, head_dim),
            k: k.arranged(past_k.as_ref(), head_dim),
            v: v.arranged(past_v.as_ref(), head_dim),
            y: y.arranged(None, head_dim),
            bias: Vec::new(),
            lengths,
        };
        let mask = if arranged.masked { Some(case.tensor("attn_mask")?) } else { None };
        arranged.bias = arranged.biases(mask.as_ref(), case.type_of("attn_mask") == "bool");
        Ok(arranged)
    }

    fn biases(&self, mask: Option<&HostTensor>, truth: bool) -> Vec<f32> {
        // The mask's axes are the last ones of (batch, heads, seq_q, seq_kv); size 1 stands for all, and keys that a
        // shorter mask does not mention are hidden.
        let from_mask = |place: [usize; 4]| {
            let Some(mask) = mask else { return 0.0 };
            let dims = mask.shape().dims();
            if place[3] >= dims[dims.len() - 1] {
                return f32::NEG_INFINITY;
            }
            let place = &place[4 - dims.len()..];
            let at =
                dims.iter().zip(place).fold(0, |at, (&size, &i)| at * size + if size == 1 { 0 } else { i });
            match mask.data()[at] {
                seen if truth => {
                    if seen == 0.0 {
                        f32::NEG_INFINITY
                    } else {
                        0.0
                    }
                }
                bias => bias,
            }
        };
        let Self { batch, heads, seq_q, seq_kv, .. } = *self;
        let value = |at: usize| {
            let (j, i) = (at % seq_kv, at / seq_kv % seq_q);
            let (h, b) = (at / seq_kv / seq_q % heads, at / seq_kv / seq_q / heads);
            let there = self.lengths.as_ref().is_none_or(|lengths| j < lengths[b]);
            let allowed = self.rules.allows(i as i64 + self.offset[b], j as i64);
            if there && allowed { from_mask([b, h, i, j]) } else { f32::NEG_INFINITY }
        };
        (0..batch * heads * seq_q * seq_kv).map(value).collect()
    }

    /// Biases of one head `(seq_q, seq_kv)`.
    pub(super) fn bias_of(&self, b: usize, h: usize) -> &[f32] {
        let len = self.seq_q * self.seq_kv;
        &self.bias[(b * self.heads + h) * len..][..len]
    }

    /// True when every head of every sequence has the same biases.
    pub(super) fn uniform(&self) -> bool {
        let first = self.bias_of(0, 0);
        (0..self.batch).all(|b| (0..self.heads).all(|h| self.bias_of(b, h) == first))
    }

    /// One sequence, all heads, its first `keys` keys.
    pub(super) fn sequence(&self, b: usize, keys: usize) -> [Vec<f32>; 4] {
        let of = |data: &[f32], seq: usize, heads: usize, kept: usize| {
            let row = heads * self.head_dim;
            data[b * seq * row..][..kept * row].to_vec()
        };
        let query = |data: &[f32]| of(data, self.seq_q, self.heads, self.seq_q);
        let key = |data: &[f32]| of(data, self.seq_kv, self.kv_heads, keys);
        [query(&self.q), key(&self.k), key(&self.v), query(&self.y)]
    }

    /// One head of one sequence.
    pub(super) fn head(&self, b: usize, h: usize) -> [Vec<f32>; 4] {
        let of = |data: &[f32], seq: usize, heads: usize, h: usize| -> Vec<f32> {
            let row = |s: usize| &data[((b * seq + s) * heads + h) * self.head_dim..][..self.head_dim];
            (0..seq).flat_map(|s| row(s).to_vec()).collect()
        };
        let shared = h / (self.heads / self.kv_heads);
        let key = |data: &[f32]| of(data, self.seq_kv, self.kv_heads, shared);
        let query = |data: &[f32]| of(data, self.seq_q, self.heads, h);
        [query(&self.q), key(&self.k), key(&self.v), query(&self.y)]
    }
}
