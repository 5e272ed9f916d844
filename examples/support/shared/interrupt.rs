//! Ctrl-C, so that a run ends between two steps and says what it leaves behind.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program that was asked to stop, as shells know it.
pub(crate) const CODE: u8 = 130;

/// Whether the run was asked to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first ctrl-C, or request to end, is noted; a second one ends the program at once.
    ///
    /// # Errors
    /// The system's, where signals cannot be watched.
    pub(crate) fn watch() -> std::io::Result<Self> {
        let asked = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // In this order: the second finds what the first has noted.
            signal_hook::flag::register_conditional_shutdown(signal, CODE.into(), asked.0.clone())?;
            signal_hook::flag::register(signal, asked.0.clone())?;
        }
        Ok(asked)
    }

    /// The run is to stop.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A run that was asked to stop; what it leaves behind.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) String);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped: {}", self.0)
    }
}

impl Error for Stopped {}
