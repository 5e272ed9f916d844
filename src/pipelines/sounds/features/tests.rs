//! Sounds whose numbers are known.
