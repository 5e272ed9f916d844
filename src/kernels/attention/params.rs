//! What the shaders of the family are told of a problem.

use super::mask::FRAME_BLOCK;
use super::problem::AttentionProblem;

/// Shader parameters of the whole family; see `shaders/attention/problem.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    batch: u32,
    heads: u32,
    kv_heads: u32,
    head_vec: u32,
    seq_q: u32,
    seq_kv: u32,
    scale: f32,
    key_lengths: u32,
    mask_at: u32,
    frame_blocks_at: u32,
    columns_at: u32,
    rows_at: u32,
    heads_at: u32,
    left: i32,
    right: i32,
    tokens_per_frame: u32,
    shift: i32,
    aligned: u32,
    column_factor: f32,
    grad_entropy_at: u32,
    grad_mass_at: u32,
    parts: u32,
    part_keys: u32,
    pub(super) first_workgroup: [u32; 3],
}

impl AttentionProblem {
    /// Keys of each of some parts, whole blocks of a temporal mask.
    pub(super) fn part_keys(&self, parts: usize) -> usize {
        self.shape.seq_kv.div_ceil(parts.max(1)).next_multiple_of(FRAME_BLOCK)
    }

    /// For keys in so many parts.
    pub(super) fn params(&self, parts: usize) -> Params {
        let s = &self.shape;
        let at = self.layout();
        let [grad_entropy_at, grad_mass_at, _] = self.map_grads_offsets();
        let reach = self.mask.reach(self.positions);
        Params {
            batch: s.batch as u32,
            heads: s.heads as u32,
            kv_heads: s.kv_heads as u32,
            head_vec: s.head_dim as u32 / 4,
            seq_q: s.seq_q as u32,
            seq_kv: s.seq_kv as u32,
            scale: self.scale,
            key_lengths: u32::from(self.key_lengths),
            mask_at: at.mask as u32,
            frame_blocks_at: at.frame_blocks as u32,
            columns_at: at.columns as u32,
            rows_at: at.rows as u32,
            heads_at: at.heads as u32,
            left: reach.left,
            right: reach.right,
            tokens_per_frame: self.mask.tokens_per_frame().clamp(1, s.seq_q.max(1)) as u32,
            shift: reach.shift,
            aligned: u32::from(self.positions.is_none()),
            column_factor: self.column_factor,
            grad_entropy_at: grad_entropy_at as u32,
            grad_mass_at: grad_mass_at as u32,
            parts: parts as u32,
            part_keys: self.part_keys(parts) as u32,
            first_workgroup: [0; 3],
        }
    }
}
