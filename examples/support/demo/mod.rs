//! The demonstration's own parts: what is asked for, what it knows, and how it is shown.

pub(crate) mod args;
pub(crate) mod clips;
pub(crate) mod folder;
pub(crate) mod heat;
pub(crate) mod page;
pub(crate) mod pictures;
pub(crate) mod plot;
pub(crate) mod report;
pub(crate) mod size;
