//! Whole forward passes.
