//! ONNX's operator cases as a second judge: the answers are its NumPy references', which share nothing with ours.
//!
//! `onnx/cases.json` and `onnx/cases.safetensors` hold the cases as ONNX states them (`tools/onnx_cases` writes them).
//! A file of this module says for an operator which of our kernels computes the same and in which arrangement; every
//! variant that the adapter has is run.

mod attention;
mod attention_shape;
mod rows;

use crate::numerics;
use foveal::gpu::Access;
use foveal::kernels::Variant;
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::verified::Tolerance;
use foveal::tensor::Array;
use foveal::weights::{FileDtype, WeightStore};
use foveal::{Context, Dtype, HostTensor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// One case: an operator with attributes, inputs and ONNX's outputs.
#[derive(Debug, Clone)]
pub struct Case {
    /// ONNX's name, without `test_`.
    pub name: String,
    /// Operator.
    pub op: String,
    attributes: Map<String, Value>,
    /// Element types by tensor, inputs and outputs together.
    types: Map<String, Value>,
    store: Arc<WeightStore>,
}

/// The committed cases.
///
/// # Errors
/// A file that is missing or not what the generator writes.
pub fn load(folder: &Path) -> Result<Vec<Case>, String> {
    let path = folder.join("cases.json");
    let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let file: Value = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let store = WeightStore::open(folder.join("cases.safetensors")).map_err(|e| e.to_string())?;
    let store = Arc::new(store);
    let entries = file.get("cases").and_then(Value::as_array).ok_or("cases.json has no `cases`")?;
    let case = |entry: &Value| {
        let text = |key: &str| entry.get(key)?.as_str().map(str::to_owned);
        let map = |key: &str| entry.get(key)?.as_object().cloned();
        let mut types = map("inputs")?;
        types.extend(map("outputs")?);
        let store = store.clone();
        Some(Case { name: text("name")?, op: text("op")?, attributes: map("attributes")?, types, store })
    };
    entries.iter().map(|e| case(e).ok_or_else(|| format!("not a case: {e}"))).collect()
}

impl Case {
    fn has(&self, tensor: &str) -> bool {
        self.types.contains_key(tensor)
    }

    /// Element type as NumPy names it.
    fn type_of(&self, tensor: &str) -> &str {
        self.types.get(tensor).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, attribute: &str) -> Option<f64> {
        self.attributes.get(attribute).and_then(Value::as_f64)
    }

    fn integer(&self, attribute: &str) -> Option<i64> {
        self.attributes.get(attribute).and_then(Value::as_i64)
    }

    fn flag(&self, attribute: &str) -> bool {
        self.integer(attribute).unwrap_or(0) != 0
    }

    /// A tensor; truth values and indices as numbers.
    fn tensor(&self, name: &str) -> Result<HostTensor, String> {
        let key = format!("{}/{name}", self.name);
        let read = || {
            if self.store.dtype(&key)? != FileDtype::I32 {
                return self.store.load_any(&key);
            }
            let words = self.store.bytes(&key)?.as_chunks::<4>().0;
            let values = words.iter().map(|w| i32::from_le_bytes(*w) as f32).collect();
            HostTensor::new(self.store.shape(&key)?, values)
        };
        read().map_err(|e| e.to_string())
    }

    /// How many significant bits the case's own numbers have.
    fn bits(&self) -> Bits {
        match self
            .types
            .values()
            .filter_map(Value::as_str)
            .find(|t| t.ends_with("float16") || *t == "bfloat16")
        {
            None => Bits::F32,
            Some("bfloat16") => Bits::Bf16,
            Some(_) => Bits::F16,
        }
    }
}

/// Precision of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bits {
    F32,
    F16,
    Bf16,
}

impl Bits {
    /// For values whose sums have terms of order one.
    fn tolerance(self) -> Tolerance {
        let new = |atol, rtol, reason| Tolerance { atol, rtol, reason };
        match self {
            Self::F32 => {
                new(4e-6, 1e-5, "ONNX's reference computes in f32 too: sums of up to 120 terms, twice")
            }
            Self::F16 => {
                new(4e-3, 4e-3, "inputs, and in f16 cases the reference's every step, rounded to 11 bits")
            }
            Self::Bf16 => new(4e-2, 4e-2, "the reference rounds every step to bf16's 8 bits"),
        }
    }
}

/// Runs kernels for one case and counts the variants it ran.
#[derive(Debug)]
pub struct Runner<'a> {
    context: &'a Context,
    bits: Bits,
    runs: Cell<usize>,
}

impl Runner<'_> {
    /// Runs every variant on the values of the read slots, then asks `check` about the written ones.
    fn each(
        &self,
        kernel: &dyn AnyKernel,
        inputs: &[Vec<f32>],
        check: impl Fn(&Judge, &[Vec<f32>]) -> Result<(), String>,
    ) -> Result<(), String> {
        kernel.check().map_err(|e| e.to_string())?;
        for variant in kernel.variants(self.context.caps()) {
            if !holds(kernel, &variant, inputs) {
                continue;
            }
            let stored = match [variant.elem, variant.weight] {
                types if types.contains(&Dtype::Bf16) => Bits::Bf16,
                types if types.contains(&Dtype::F16) => Bits::F16,
                _ => Bits::F32,
            };
            let judge = Judge { bits: self.bits.max(stored) };
            let found = numerics::execute(self.context, kernel, &variant, inputs);
            found
                .and_then(|found| check(&judge, &found))
                .map_err(|e| format!("{kernel} {}: {e}", variant.name()))?;
            self.runs.set(self.runs.get() + 1);
        }
        Ok(())
    }
}

/// False where a variant's storage is too coarse for the values: 10001 and 10002 are one number in f16, and so the case
/// another.
fn holds(kernel: &dyn AnyKernel, variant: &Variant, inputs: &[Vec<f32>]) -> bool {
    let slots = kernel.slots();
    let mut read = slots.iter().filter(|slot| slot.access != Access::Write).zip(inputs);
    read.all(|(slot, values)| {
        let dtype = slot.dtype(variant);
        let coarse = if dtype == Dtype::Bf16 { 1.0 / 32.0 } else { 1.0 / 256.0 };
        let off = |v: f64| (dtype.round(v) - v).abs();
        matches!(dtype, Dtype::F32 | Dtype::U32) || values.iter().all(|&v| off(f64::from(v)) <= coarse)
    })
}

/// Compares at the precision of a variant and its case.
#[derive(Debug, Clone, Copy)]
struct Judge {
    bits: Bits,
}

impl Judge {
    /// For a result of two calls: the coarser of both.
    fn and(self, other: &Self) -> Self {
        Self { bits: self.bits.max(other.bits) }
    }

    fn near(&self, what: &str, found: &[f32], expected: &[f32]) -> Result<(), String> {
        if found.len() != expected.len() {
            return Err(format!("`{what}`: {} values, ONNX has {}", found.len(), expected.len()));
        }
        let expected = Array::from_fn([expected.len()], |i| f64::from(expected[i]));
        numerics::compare(what, found, &expected, &self.bits.tolerance())
    }
}

/// Runs a case on every variant of the kernels that say the same; returns how many variants ran.
///
/// # Errors
/// Where the numbers part, or a case that no kernel here can state.
pub fn check(context: &Context, case: &Case) -> Result<usize, String> {
    let run = Runner { context, bits: case.bits(), runs: Cell::new(0) };
    match case.op.as_str() {
        "Attention" => attention::attention(case, &run),
        "Gather" => rows::gather(case, &run),
        "Gelu" => rows::gelu(case, &run),
        "Gemm" => rows::gemm(case, &run),
        "LayerNormalization" => rows::layer_norm(case, &run),
        "MatMul" => rows::matmul(case, &run),
        "RMSNormalization" => rows::rms_norm(case, &run),
        "RotaryEmbedding" => rows::rotary(case, &run),
        "Sigmoid" | "Swish" => rows::silu(case, &run),
        "Softmax" => rows::softmax(case, &run),
        other => Err(format!("no kernel is held against {other}")),
    }?;
    match run.runs.get() {
        0 => Err("nothing ran".into()),
        runs => Ok(runs),
    }
}
