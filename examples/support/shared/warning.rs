//! Warnings: what a run goes on after, but should not keep to itself.

use std::fmt::Display;

/// Prints a warning on stderr; every program prints them in this one form.
pub(crate) fn warn(text: impl Display) {
    eprintln!("warning: {text}");
}
