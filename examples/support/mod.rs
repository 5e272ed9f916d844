//! What the demonstration is made of. `temporal_accuracy` takes some of the files by themselves.

pub(crate) mod canvas;
pub(crate) mod demo;
pub(crate) mod detector;
pub(crate) mod film;
pub(crate) mod heat;
pub(crate) mod mode;
pub(crate) mod page;
pub(crate) mod pictures;
pub(crate) mod plot;
pub(crate) mod progress;
