//! Models as they are downloaded: every layout and every spelling of the same weights gives the same numbers, and what
//! makes another model is refused by name before anything large is read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

mod bert;
mod files;
mod refusals;
mod wan;
