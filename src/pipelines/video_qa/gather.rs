//! Rows of a tensor that may be larger than a binding.

use crate::gpu::Caps;
use crate::kernels::splits::{Piece, pieces};
use crate::kernels::token::embedding_of;
use crate::{Result, Tensor};

/// True where a kernel cannot read `x` as a whole.
pub(super) fn passes_binding(x: &Tensor) -> bool {
    (x.len() * x.dtype().size()) as u64 > x.context().caps().max_binding
}

/// Rows `ids`, which ascend, of `x (rows, cols)`, which is read in pieces where it is larger than a binding.
pub(super) fn gather(x: &Tensor, ids: &[u32]) -> Result<Tensor> {
    gather_within(x, ids, x.context().caps())
}

fn gather_within(x: &Tensor, ids: &[u32], caps: &Caps) -> Result<Tensor> {
    let on_device = |ids: &[u32]| Tensor::from_u32(x.context(), [ids.len()], ids);
    let rows = x.dims().first().copied().unwrap_or(0);
    let width = x.len() / rows.max(1);
    let pieces = pieces(caps, rows, width * x.dtype().size(), 1);
    if pieces.len() == 1 {
        return embedding_of(x, &on_device(ids)?);
    }
    let out = Tensor::empty(x.context(), [ids.len(), width], x.dtype())?;
    let mut at = 0;
    for Piece { row, rows, .. } in pieces {
        let behind = ids.partition_point(|&id| (id as usize) < row + rows);
        let own: Vec<u32> = ids.iter().take(behind).skip(at).map(|&id| id - row as u32).collect();
        if own.is_empty() {
            continue;
        }
        // Kernels write from an aligned place on, which a piece of the result need not begin at.
        let piece = embedding_of(&x.narrow(row, rows)?, &on_device(&own)?)?;
        piece.copy_to(&out.narrow(at, own.len())?)?;
        at += own.len();
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{Context, ContextOptions, block_on};

    #[test]
    fn pieces_are_the_whole() {
        let context = block_on(Context::new(ContextOptions::default())).unwrap();
        // 272 rows of 20 bytes: pieces begin at places that the offsets of bindings may have, every 64 rows.
        let (rows, cols) = (272, 5);
        let values: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
        let x = Tensor::from_f32(&context, [rows, cols], &values).unwrap();
        for ids in
            [vec![0u32, 63, 64, 65, 128, 200, 271], vec![271], vec![0], (0..272).collect(), vec![70, 71]]
        {
            let expected: Vec<f32> =
                ids.iter().flat_map(|id| (0..5).map(move |c| (id * 5 + c) as f32)).collect();
            for binding in [1 << 20, 2600, 1300] {
                let caps = Caps { max_binding: binding, ..context.caps().clone() };
                let found = gather_within(&x, &ids, &caps).unwrap();
                assert_eq!(block_on(found.to_vec()).unwrap(), expected, "{binding}");
            }
            assert_eq!(pieces(&Caps { max_binding: 1300, ..context.caps().clone() }, rows, 20, 1).len(), 5);
        }
    }
}
