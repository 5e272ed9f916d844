//! Whole forward passes, one file a model.

pub mod bert;
pub mod dashfusion;
pub mod qwen2_5_vl;
pub mod tokenizer;
pub mod umt5;
pub mod wan;
