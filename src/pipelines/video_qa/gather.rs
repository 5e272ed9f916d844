//! Rows of a tensor that may be larger than a binding.

use crate::kernels::token::embedding_of;
use crate::{Result, Tensor};

/// True where a kernel cannot read `x` as a whole.
pub(super) fn passes_binding(x: &Tensor) -> bool {
    bytes(x) > x.context().caps().max_binding
}

/// Rows `ids`, which ascend, of `x (rows, cols)`, which is read in pieces where it is larger than a binding.
pub(super) fn gather(x: &Tensor, ids: &[u32]) -> Result<Tensor> {
    gather_within(x, ids, x.context().caps().max_binding)
}

fn bytes(x: &Tensor) -> u64 {
    (x.len() * x.dtype().size()) as u64
}

fn gather_within(x: &Tensor, ids: &[u32], binding: u64) -> Result<Tensor> {
    let on_device = |ids: &[u32]| Tensor::from_u32(x.context(), [ids.len()], ids);
    let rows = x.dims().first().copied().unwrap_or(0);
    if bytes(x) <= binding || rows == 0 {
        return embedding_of(x, &on_device(ids)?);
    }
    let width = x.len() / rows;
    let most = ((binding / (width * x.dtype().size()).max(1) as u64) as usize).max(1);
    let out = Tensor::empty(x.context(), [ids.len(), width], x.dtype())?;
    let mut at = 0;
    for start in (0..rows).step_by(most) {
        let count = most.min(rows - start);
        let own: Vec<u32> = ids
            .iter()
            .skip(at)
            .take_while(|&&id| (id as usize) < start + count)
            .map(|&id| (id as usize - start) as u32)
            .collect();
        if own.is_empty() {
            continue;
        }
        // Kernels write from an aligned place on, which a piece of the result need not begin at.
        let piece = embedding_of(&x.narrow(start, count)?, &on_device(&own)?)?;
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
        let values: Vec<f32> = (0..23 * 5).map(|i| i as f32).collect();
        let x = Tensor::from_f32(&context, [23, 5], &values).unwrap();
        for ids in [vec![0u32, 1, 6, 7, 8, 20, 22], vec![22], vec![0], (0..23).collect(), vec![9, 10, 11]] {
            let whole = block_on(gather(&x, &ids).unwrap().to_vec()).unwrap();
            let expected: Vec<f32> =
                ids.iter().flat_map(|id| (0..5).map(move |c| (id * 5 + c) as f32)).collect();
            assert_eq!(whole, expected);
            // Seven, three and one rows at a time.
            for binding in [140, 60, 20] {
                let pieces = block_on(gather_within(&x, &ids, binding).unwrap().to_vec()).unwrap();
                assert_eq!(pieces, expected, "{binding}");
            }
        }
    }
}
