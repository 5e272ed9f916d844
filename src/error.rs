//! Every way a call can fail, named so that a user knows which kernel, tensor, axis or file is meant.

use std::fmt;
use std::path::PathBuf;

/// Result of every fallible call of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with the names a user needs to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor handed to a kernel has another size than the problem says.
    #[error("{kernel}: tensor `{tensor}` {}: expected {expected}, found {found}", axis_name(axis))]
    #[non_exhaustive]
    Shape {
        /// Stem of the kernel.
        kernel: &'static str,
        /// Name of the tensor in the kernel's documentation.
        tensor: String,
        /// Axis that disagrees (`0` is the outermost), or `rank`, or `number of elements`.
        axis: String,
        /// Size the problem asks for.
        expected: usize,
        /// Size that was given.
        found: usize,
    },
    /// A tensor has the wrong element type.
    #[error("{kernel}: tensor `{tensor}`: expected {expected}, found {found}")]
    #[non_exhaustive]
    Dtype {
        /// Stem of the kernel.
        kernel: &'static str,
        /// Name of the tensor.
        tensor: String,
        /// Type or types that are accepted.
        expected: String,
        /// Type that was given.
        found: String,
    },
    /// A tensor lives in another context than the call; `Tensor::to_context` copies it.
    #[error(
        "{kernel}: tensor `{tensor}` belongs to {found} and meets {expected}; `Tensor::to_context` copies it"
    )]
    #[non_exhaustive]
    Context {
        /// Stem of the kernel, or the call.
        kernel: &'static str,
        /// Name of the tensor.
        tensor: String,
        /// The context of the call.
        expected: String,
        /// The tensor's.
        found: String,
    },
    /// An app's buffer was made without a usage that the call needs.
    #[error("{kernel}: the app's buffer lacks the usage {usage}: {reason}")]
    #[non_exhaustive]
    Usage {
        /// Stem of the kernel, or the call.
        kernel: &'static str,
        /// Name of the usage in the GPU API.
        usage: &'static str,
        /// What it is needed for.
        reason: String,
    },
    /// A variable of another tape, or one whose values have changed since it was used.
    #[error("tape: {0}")]
    Tape(String),
    /// Values that were never computed, since the submission that would have computed them failed.
    #[error("the values were never computed: {0}")]
    Lost(String),
    /// A size or option that the kernel does not accept, whatever the tensors are.
    #[error("{kernel}: {reason}")]
    #[non_exhaustive]
    Problem {
        /// Stem of the kernel.
        kernel: &'static str,
        /// What is not accepted and what would be.
        reason: String,
    },
    /// A caller's value outside its documented range.
    #[error("{what}: {reason}")]
    #[non_exhaustive]
    Input {
        /// The value or option.
        what: String,
        /// Why it is refused.
        reason: String,
    },
    /// A value is NaN or infinite where only finite numbers make sense.
    #[error("{what} holds a non-finite value at element {index}")]
    #[non_exhaustive]
    NonFinite {
        /// The tensor.
        what: String,
        /// First offending element, row-major.
        index: usize,
    },
    /// A configuration, tokenizer or case file that cannot be understood.
    #[error("{}: {reason}", path.display())]
    #[non_exhaustive]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A weight file that lacks a tensor, or holds one of another shape or type.
    #[error("{}: tensor `{tensor}`: {reason}", path.display())]
    #[non_exhaustive]
    Weight {
        /// The file or folder.
        path: PathBuf,
        /// Key of the tensor in the file.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No adapter fits; each refused one is listed with its reason.
    #[error("no usable adapter: {0}")]
    NoAdapter(String),
    /// The device lacks something the call needs.
    #[error("{what} is not supported by {adapter}: {reason}")]
    #[non_exhaustive]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Adapter name.
        adapter: String,
        /// Which feature or limit is missing.
        reason: String,
    },
    /// A shader did not compile; the place is in the file a person edits.
    #[error("shader does not compile: {location}: {message} ({variant})")]
    #[non_exhaustive]
    Shader {
        /// Stem and variant.
        variant: String,
        /// `file:line:column` in the source tree.
        location: String,
        /// The compiler's message.
        message: String,
    },
    /// The device or the configured budget has no room for a buffer.
    #[error("out of memory: {}", room(*requested, *live, *limit))]
    #[non_exhaustive]
    OutOfMemory {
        /// Bytes of the allocation that failed; 0 where the API did not say, as of a whole submission.
        requested: u64,
        /// Bytes in use by this context at that moment.
        live: u64,
        /// The budget, where one is set.
        limit: Option<u64>,
    },
    /// The device is gone; the context and its tensors are dead.
    #[error("device lost: {0}")]
    DeviceLost(String),
    /// The GPU API reported an error: a defect of this crate or of the driver.
    #[error("the GPU API refuses: {0}")]
    Gpu(String),
    /// The caller asked to stop.
    #[error("cancelled at {0}")]
    Cancelled(String),
    /// The operating system's word on a file.
    #[error("{}: {source}", path.display())]
    #[non_exhaustive]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

fn axis_name(axis: &str) -> String {
    match axis {
        "rank" | "number of elements" => axis.to_owned(),
        _ => format!("axis {axis}"),
    }
}

fn room(requested: u64, live: u64, limit: Option<u64>) -> String {
    let budget = limit.map(|l| format!(", budget {l} bytes")).unwrap_or_default();
    match requested {
        0 => format!("the device has no room{budget}"),
        _ => format!("{requested} bytes asked for, {live} bytes live{budget}"),
    }
}

/// Most characters of a reason: a hostile file may hold names and values of megabytes.
const LONGEST: usize = 600;

pub(crate) fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

impl Error {
    /// An [`Error::Input`].
    pub fn input(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Input { what: what.into(), reason: reason.into() }
    }

    /// An [`Error::File`]; a reason that quotes too much of the file is cut.
    pub fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: shortened(reason.into()) }
    }

    /// An [`Error::Weight`], cut likewise.
    pub fn weight(path: impl Into<PathBuf>, tensor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Weight { path: path.into(), tensor: shortened(tensor.into()), reason: shortened(reason.into()) }
    }

    /// An [`Error::Io`].
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// An [`Error::Problem`].
    pub fn problem(kernel: &'static str, reason: impl Into<String>) -> Self {
        Self::Problem { kernel, reason: reason.into() }
    }

    /// An [`Error::Shape`]: along `axis`, such as `0`, or of `rank`.
    pub fn shape(
        kernel: &'static str,
        tensor: impl Into<String>,
        axis: impl fmt::Display,
        expected: usize,
        found: usize,
    ) -> Self {
        Self::Shape { kernel, tensor: tensor.into(), axis: axis.to_string(), expected, found }
    }

    /// An [`Error::Dtype`]: the storage type or types that are accepted, and the one that was given.
    pub fn dtype(
        kernel: &'static str,
        tensor: impl Into<String>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Dtype { kernel, tensor: tensor.into(), expected, found }
    }

    /// An [`Error::Unsupported`], of the adapter by its name.
    pub fn unsupported(what: impl Into<String>, adapter: &str, reason: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), adapter: adapter.into(), reason: reason.into() }
    }
}

/// Calls a library that answers some files with a panic instead of an error; `None` where it does. What it leaves behind
/// must not be used again. The panic hook still runs, and where panics abort, as on wasm32, there is nothing to catch.
#[cfg(any(feature = "audio", all(feature = "tokenizers", not(target_arch = "wasm32"))))]
pub(crate) fn without_panic<T>(call: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).ok()
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn the_first_words_are_kernel_tensor_and_what_is_wrong() {
        let memory = |requested, limit| Error::OutOfMemory { requested, live: 8, limit };
        for (error, text) in [
            (Error::shape("gelu", "x", 0, 8, 7), "gelu: tensor `x` axis 0: expected 8, found 7"),
            (Error::shape("gelu", "x", "rank", 1, 2), "gelu: tensor `x` rank: expected 1, found 2"),
            (
                Error::dtype("gelu", "y", "f32 or f16", "u32"),
                "gelu: tensor `y`: expected f32 or f16, found u32",
            ),
            (memory(16, Some(20)), "out of memory: 16 bytes asked for, 8 bytes live, budget 20 bytes"),
            (memory(0, None), "out of memory: the device has no room"),
            (
                Error::unsupported("f16", "a GPU", "no shader-f16"),
                "f16 is not supported by a GPU: no shader-f16",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
