//! Scales beside quantised weights: what was stored times its scale is the weight.

use std::collections::BTreeSet;

use super::WeightStore;
use super::element::to_f32;
use super::source::{Entry, Place};
use crate::{Result, Shape};

/// What a layer's scale is called beside its `weight`: by ComfyUI, and by most others.
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];
/// What is stored beside a weight and does not change it: scales of a layer's inputs, which matter to arithmetic in 8 bits,
/// and a note about the weight's type, which the file's header has too.
const NOTES: [&str; 3] = ["scale_input", "input_scale", "comfy_quant"];
/// Marks a file whose 8-bit weights have scales; its value and length say nothing here.
const MARK: &str = "scaled_fp8";

/// The scale of one tensor.
pub(super) enum Scale {
    /// It is stored as it is.
    None,
    /// One number for all of it.
    One(f32),
    /// One for each index of its first axis.
    Rows(Vec<f32>),
}

impl Scale {
    /// Multiplies whole rows of a tensor, whose first is `row`.
    pub(super) fn apply(&self, data: &mut [f32], row: usize, columns: usize) {
        match self {
            Self::None => {}
            Self::One(scale) => data.iter_mut().for_each(|v| *v *= scale),
            Self::Rows(scales) => {
                let rows = data.chunks_mut(columns.max(1));
                for (row, scale) in rows.zip(scales.iter().skip(row)) {
                    row.iter_mut().for_each(|v| *v *= scale);
                }
            }
        }
    }
}

/// What a tensor is to those that are read.
pub(super) enum Role {
    /// A scale, note or mark that is understood.
    Understood,
    /// It says how this one is stored, in a way that is not understood.
    Unknown(String),
    /// Nothing.
    None,
}

/// What `name` is to the tensors of `read`.
pub(super) fn role(name: &str, read: &BTreeSet<String>) -> Role {
    let (stem, last) = name.rsplit_once('.').unwrap_or(("", name));
    if last == MARK {
        return Role::Understood;
    }
    let weight = if stem.is_empty() { "weight".to_owned() } else { format!("{stem}.weight") };
    if read.contains(&weight) {
        if SCALES.contains(&last) || NOTES.contains(&last) {
            return Role::Understood;
        }
        let quantised = ["scale", "zero_point", "qzeros", "absmax", "quant", "g_idx"];
        if quantised.iter().any(|word| last.contains(word)) {
            return Role::Unknown(weight);
        }
    }
    // As `…weight.absmax`, which bitsandbytes writes.
    let mut stem = stem;
    loop {
        if read.contains(stem) {
            return Role::Unknown(stem.to_owned());
        }
        match stem.rsplit_once('.') {
            Some((shorter, _)) => stem = shorter,
            None => return Role::None,
        }
    }
}

impl WeightStore {
    /// The scale of a tensor.
    ///
    /// # Errors
    /// [`crate::Error::Weight`] for a scale of another shape or type, one that is not a positive number, two of them, and a matrix
    /// of 8-bit floats without one in a file that is marked as scaled.
    pub(super) fn scale(&self, name: &str, entry: &Entry) -> Result<Scale> {
        if entry.place == Place::Planned {
            return Ok(Scale::None);
        }
        let keys = name.strip_suffix("weight").filter(|stem| stem.is_empty() || stem.ends_with('.'));
        let keys = keys.map(|stem| SCALES.map(|scale| format!("{stem}{scale}")));
        let found: Vec<&String> = keys.iter().flatten().filter(|key| self.contains(key)).collect();
        match found.as_slice() {
            [] if entry.dtype.is_eight_bits() && entry.shape.len() > 1 && self.is_marked() => {
                let expected = keys.as_ref().and_then(|keys| keys.first()).cloned().unwrap_or_default();
                Err(self.refusal(
                    name,
                    format!("`{MARK}` marks the file's 8-bit weights as scaled, and `{expected}` is missing"),
                ))
            }
            [] => Ok(Scale::None),
            [key] => self.read_scale(key, entry),
            _ => Err(self.refusal(name, "it has two scales, `scale_weight` and `weight_scale`")),
        }
    }

    fn is_marked(&self) -> bool {
        self.names().any(|name| name.rsplit('.').next() == Some(MARK))
    }

    fn read_scale(&self, key: &str, of: &Entry) -> Result<Scale> {
        let refuse = |reason: String| Err(self.refusal(key, reason));
        let entry = self.entry(key)?;
        let rows = of.shape.first().copied().unwrap_or(1);
        let one = entry.shape.iter().all(|&n| n == 1);
        let a_row = entry.shape.first() == Some(&rows) && entry.shape.iter().skip(1).all(|&n| n == 1);
        if !one && !a_row {
            let found = Shape::from(entry.shape.as_slice());
            return refuse(format!(
                "a scale is one number, or one for each of {rows} rows; its shape is {found}"
            ));
        }
        let values = match to_f32(entry.dtype, self.raw(key, entry)?) {
            Ok(values) => values,
            Err(reason) => return refuse(reason),
        };
        if let Some((i, v)) = values.iter().enumerate().find(|(_, v)| !(v.is_finite() && **v > 0.0)) {
            return refuse(format!("a scale is a positive number; element {i} is {v}"));
        }
        match values.as_slice() {
            [] => refuse("it is empty".into()),
            [scale] => Ok(Scale::One(*scale)),
            _ => Ok(Scale::Rows(values)),
        }
    }
}
