//! Waiting for a result where nothing else is to be done meanwhile.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Wakes the thread that waits. What it waits for may park the thread too, so that being unparked alone says nothing.
struct Alarm {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

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
    let alarm = Arc::new(Alarm { thread: thread::current(), rung: AtomicBool::new(false) });
    let waker = Waker::from(alarm.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        while !alarm.rung.swap(false, Ordering::AcqRel) {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::block_on;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::task::Poll;
    use std::time::Duration;

    #[test]
    fn it_waits_for_another_thread_and_polls_only_when_woken() {
        let (done, polls) = (Arc::new(AtomicBool::new(false)), AtomicU32::new(0));
        let value = block_on(poll_fn(|cx| {
            if polls.fetch_add(1, Ordering::Relaxed) == 0 {
                let (done, waker) = (done.clone(), cx.waker().clone());
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(30));
                    done.store(true, Ordering::Release);
                    waker.wake();
                });
            }
            if done.load(Ordering::Acquire) { Poll::Ready(7) } else { Poll::Pending }
        }));
        assert_eq!((value, polls.into_inner()), (7, 2));
    }

    #[test]
    fn a_waker_that_is_called_before_it_sleeps_is_heard() {
        let mut first = true;
        block_on(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            // Whoever else parks this thread takes the unparking.
            std::thread::park();
            if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
        }));
    }
}
