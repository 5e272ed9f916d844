//! Elements that an invocation takes at a time: `ElemPack` in memory, `Pack` in registers, `widen` and `narrow` between them.

use crate::shader::Source;
use crate::wgsl;

/// Elements an invocation takes at a time: four where rows allow it.
pub fn pack(cols: usize) -> usize {
    if cols.is_multiple_of(4) { 4 } else { 1 }
}

/// The module for a number of elements at a time.
pub fn pack_module(pack: usize) -> Source {
    match pack {
        4 => wgsl!("shared/pack.4.wgsl"),
        2 => wgsl!("shared/pack.2.wgsl"),
        _ => wgsl!("shared/pack.1.wgsl"),
    }
}
