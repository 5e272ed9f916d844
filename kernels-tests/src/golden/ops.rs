//! Which operations the library answers golden cases with.

use super::Op;

/// Every operation with an implementation. A case of another operation is skipped.
pub const OPS: &[Op] = &[];
