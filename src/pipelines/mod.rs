//! Whole systems.
