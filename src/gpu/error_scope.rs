//! Turns the GPU API's error scopes into typed errors without blocking.

use crate::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

#[cfg(not(target_arch = "wasm32"))]
type ScopeFuture = Pin<Box<dyn Future<Output = Option<Error>> + Send>>;
/// A browser's objects stay on the thread that made them.
#[cfg(target_arch = "wasm32")]
type ScopeFuture = Pin<Box<dyn Future<Output = Option<Error>>>>;

/// What a scope's outcome may take along: to another thread, where there are any.
#[cfg(not(target_arch = "wasm32"))]
pub(super) use Send as MaybeSend;
#[cfg(target_arch = "wasm32")]
pub(super) trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T> MaybeSend for T {}

/// Scopes whose outcome is not known yet (in browsers) and errors that are.
#[derive(Default)]
pub(super) struct PendingErrors {
    scopes: Vec<ScopeFuture>,
    found: Vec<Error>,
    uncaptured: Uncaptured,
}

/// What the device's last-resort handler has seen. The handler has to be `Send`, which a browser's device is not, so it holds
/// this list and nothing else.
pub(super) type Uncaptured = Arc<Mutex<Vec<Error>>>;

impl std::fmt::Debug for PendingErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} scopes, {} errors", self.scopes.len(), self.found.len())
    }
}

impl PendingErrors {
    pub(super) fn push(&mut self, error: Error) {
        self.found.push(error);
    }

    /// Where the device's last-resort handler puts errors.
    pub(super) fn uncaptured(&self) -> Uncaptured {
        self.uncaptured.clone()
    }

    /// First error known by now.
    pub(super) fn take(&mut self) -> Option<Error> {
        self.found.append(&mut super::lock::lock(&self.uncaptured));
        let mut cx = TaskContext::from_waker(Waker::noop());
        let found = &mut self.found;
        self.scopes.retain_mut(|scope| match scope.as_mut().poll(&mut cx) {
            Poll::Ready(Some(error)) => {
                found.push(error);
                false
            }
            Poll::Ready(None) => false,
            Poll::Pending => true,
        });
        if self.found.is_empty() { None } else { Some(self.found.remove(0)) }
    }
}

/// The scopes around one piece of API use.
pub(super) struct Scopes {
    validation: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
    internal: wgpu::ErrorScopeGuard,
}

impl Scopes {
    pub(super) fn push(device: &wgpu::Device) -> Self {
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        Self { validation, memory, internal }
    }

    /// Closes the scopes. Native backends answer at once; in browsers the answer joins `pending`.
    pub(super) fn pop(self, pending: &mut PendingErrors) -> Option<Error> {
        self.pop_then(pending, |error| error.map(describe))
    }

    /// The same, with `then` making what it will of the outcome once that is known.
    pub(super) fn pop_then(
        self,
        pending: &mut PendingErrors,
        then: impl FnOnce(Option<wgpu::Error>) -> Option<Error> + MaybeSend + 'static,
    ) -> Option<Error> {
        let (internal, memory, validation) = (self.internal.pop(), self.memory.pop(), self.validation.pop());
        let all = async move {
            let (i, m, v) = (internal.await, memory.await, validation.await);
            then(m.or(v).or(i))
        };
        let mut all: ScopeFuture = Box::pin(all);
        match pin!(&mut all).poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(error) => error,
            Poll::Pending => {
                pending.scopes.push(all);
                None
            }
        }
    }
}

/// An error of the API; who knows how much memory was asked for adds that.
pub(super) fn describe(error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { requested: 0, live: 0, limit: None },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Gpu(reason_first(&description))
        }
    }
}

/// The call that the API names ahead of its reasons, where it does, and the reasons.
pub(super) fn call_and_reasons(description: &str) -> (Option<&str>, &str) {
    let chain = description.split_once("Caused by:").map_or(description, |(_, chain)| chain).trim();
    match chain.strip_prefix("In ").and_then(|rest| rest.split_once('\n')) {
        Some((call, reasons)) if !reasons.trim().is_empty() => (Some(call.trim()), reasons.trim()),
        _ => (None, chain),
    }
}

/// What is wrong, then where the API noticed it.
fn reason_first(description: &str) -> String {
    let (call, reasons) = call_and_reasons(description);
    let lines: Vec<&str> = reasons.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let call = call.map(|call| format!(" (in {call})")).unwrap_or_default();
    format!("{}{call}", lines.join(": "))
}

#[cfg(test)]
mod tests {
    use super::reason_first;

    #[test]
    fn the_reason_comes_first() {
        let told = "Validation Error\n\nCaused by:\n  In Queue::submit, label = 'a'\n    Buffer is bad\n      It was destroyed\n";
        assert_eq!(reason_first(told), "Buffer is bad: It was destroyed (in Queue::submit, label = 'a')");
        assert_eq!(reason_first("Validation Error\n\nCaused by:\n  No room\n"), "No room");
        assert_eq!(reason_first("In Queue::submit"), "In Queue::submit");
        assert_eq!(reason_first("a browser's words"), "a browser's words");
    }
}
