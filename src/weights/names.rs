//! What programs wrap around a parameter's name when they save it, and tensors that nobody reads.

use std::collections::BTreeSet;

use super::WeightStore;
use super::scale;
use crate::Result;

/// What stands in front of every name of a file: a model inside a trainer (`model.`), inside what runs it on several
/// devices (`module.`), inside ComfyUI's checkpoint (`model.diffusion_model.`). They are found in any order.
const BEFORE: [&str; 3] = ["module.", "model.", "diffusion_model."];
/// What stands in front of a part that was compiled, sharded or checkpointed by itself, so anywhere in a name.
const WITHIN: [&str; 3] = ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];

/// A name without its wrappers.
fn bare(name: &str) -> String {
    let mut rest = name;
    while let Some(inner) = BEFORE.iter().chain(&WITHIN).find_map(|wrapper| rest.strip_prefix(wrapper)) {
        rest = inner;
    }
    WITHIN.iter().fold(rest.to_owned(), |name, wrapper| name.replace(&format!(".{wrapper}"), "."))
}

impl WeightStore {
    /// The same tensors without what programs put in front of names when they save a model: `module.`, `model.`,
    /// `diffusion_model.`, `_orig_mod.` and their kind, also several of them. Errors go on naming tensors as the file does.
    ///
    /// # Errors
    /// [`crate::Error::Weight`] when two tensors have one name then, as where a file holds a model twice.
    pub fn unwrapped(&self) -> Result<Self> {
        self.renamed(bare)
    }

    /// Names in this view that are not among those that a model reads, sorted. Scales of what is read, the marks of
    /// quantised files and what is `expected` beside a model are not listed.
    ///
    /// # Errors
    /// [`crate::Error::Weight`] for a tensor that says how one that is read is to be decoded, in a form that is not understood,
    /// and, with `reason`, for one `inside` the model, which would compute something with it.
    pub(crate) fn unread(
        &self,
        read: &BTreeSet<String>,
        expected: impl Fn(&str) -> bool,
        inside: impl Fn(&str) -> bool,
        reason: impl FnOnce() -> String,
    ) -> Result<Vec<String>> {
        let mut unread = Vec::new();
        for name in self.names().filter(|name| !read.contains(*name)) {
            match scale::role(name, read) {
                scale::Role::Understood => {}
                scale::Role::Unknown(of) => {
                    let reason = format!(
                        "it says how `{of}` was quantised, in a form that is not read; F32, F16, BF16 and 8-bit floats \
                         with one scale a tensor or a row are: take such a file"
                    );
                    return Err(self.refusal(name, reason));
                }
                scale::Role::None if expected(name) => {}
                scale::Role::None => unread.push(name.to_owned()),
            }
        }
        match unread.iter().find(|name| inside(name)) {
            Some(name) => Err(self.refusal(name, reason())),
            None => Ok(unread),
        }
    }
}

/// Names for a message: the first ones.
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// What to tell a user about tensors that are not read; nothing where there are none.
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub(crate) fn warning(model: &str, unread: &[String]) -> Option<String> {
    let count = match unread.len() {
        0 => return None,
        1 => "1 tensor is".to_owned(),
        n => format!("{n} tensors are"),
    };
    Some(crate::error::shortened(format!("{model}: {count} in the file and not read: {}", listed(unread))))
}
