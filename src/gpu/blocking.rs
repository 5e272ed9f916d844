//! Waiting for a result where nothing else is to be done meanwhile.

use std::future::Future;

/// Waits on this thread until a future is done: the blocking twin of every `async` call of this crate, for programs and tests
/// without an executor.
///
/// ```no_run
/// # fn main() -> foveal::Result<()> {
/// use foveal::{Context, ContextOptions, Tensor, block_on};
///
/// let context = block_on(Context::new(ContextOptions::default()))?;
/// let x = Tensor::from_f32(&context, [2], &[1.0, 2.0])?;
/// assert_eq!(block_on(x.to_vec())?, [1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
///
/// The thread sleeps meanwhile. On the thread of an executor, `await` lets other tasks run instead. A browser's thread must
/// not wait, so there is no such function on wasm32.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}
