//! The demonstration's own parts: what it knows, and how it is shown.

pub(crate) mod clips;
pub(crate) mod heat;
pub(crate) mod page;
pub(crate) mod pictures;
pub(crate) mod plot;
