//! What a library must offer to be timed.

use crate::rows::{Inputs, Op};
use std::error::Error;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Reads a call's results: the output, or the output and the gradients by q, k and v; attention's as
/// `(batch, seq, heads, dim)`.
pub type Results = Box<dyn FnOnce() -> Result<Vec<Vec<f32>>>>;

/// Runs an operation once, from inputs that are already where the library computes, and waits until it is done.
pub type Call = Box<dyn FnMut() -> Result<Results>>;

/// One of the libraries that are compared.
pub trait Library {
    /// Name and version.
    fn name(&self) -> String;

    /// The function that a row times, as a user of the library would call it.
    fn function(&self, op: &Op) -> &'static str;

    /// Brings the inputs to the library's device.
    fn prepare(&self, op: &Op, inputs: &Inputs) -> Result<Call>;
}

/// The version of a crate in this bench's lock file.
pub fn version(krate: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("\nname = \"{krate}\"\n")));
    let version = entry.and_then(|entry| entry.split_once("version = \"")?.1.split('"').next());
    version.unwrap_or("of an unknown version")
}
