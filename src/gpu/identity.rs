//! Which context something belongs to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A context among those of a process, for comparison and for messages.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    number: u64,
    adapter: Arc<str>,
}

impl Identity {
    /// One that no other context of the process has.
    pub(super) fn new(adapter: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), adapter: adapter.into() }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "context {} on {}", self.number, self.adapter)
    }
}
