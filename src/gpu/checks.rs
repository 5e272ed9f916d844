//! What can be wrong with a command is found before it is recorded, since a submission that the API refuses takes everything
//! in it along.

use super::caps::Caps;
use super::memory::{Binding, Buffer};
use super::track::Access;
use crate::{Error, Result};

pub(super) fn refuse<T>(what: &str, reason: impl Into<String>) -> Result<T> {
    Err(Error::input(what, reason))
}

/// An error for a buffer of another context.
pub(super) fn own(context: u64, what: &str, buffer: &Buffer) -> Result<()> {
    if buffer.0.context == context {
        return Ok(());
    }
    refuse(what, "the buffer belongs to another context; `Tensor::to_context` copies between contexts")
}

/// What the API would find wrong with a range that is copied, when it is too late.
pub(super) fn copy(context: u64, what: &str, place: &Binding<'_>, usage: wgpu::BufferUsages) -> Result<()> {
    let Binding { buffer, offset, size } = *place;
    own(context, what, buffer)?;
    if !offset.is_multiple_of(4) || !size.is_multiple_of(4) {
        return refuse(what, format!("{size} bytes from byte {offset}: both are multiples of 4"));
    }
    if offset.checked_add(size).is_none_or(|end| end > buffer.size()) {
        return refuse(what, format!("{size} bytes from byte {offset}, the buffer has {}", buffer.size()));
    }
    if !buffer.raw().usage().contains(usage) {
        let name = if usage == wgpu::BufferUsages::COPY_SRC { "COPY_SRC" } else { "COPY_DST" };
        return refuse(what, format!("the app's buffer was made without the usage {name}"));
    }
    Ok(())
}

/// What the API would find wrong with a dispatch.
pub(super) fn dispatch(
    context: u64,
    caps: &Caps,
    label: &str,
    access: &[Access],
    bindings: &[Binding<'_>],
    workgroups: [u32; 3],
) -> Result<()> {
    let unsupported = |what: String, reason: String| {
        Err(Error::Unsupported { what, adapter: caps.adapter.clone(), reason })
    };
    if workgroups.iter().any(|&n| n > caps.max_workgroups) {
        return unsupported(
            format!("{label} with {workgroups:?} workgroups"),
            format!("at most {} along an axis", caps.max_workgroups),
        );
    }
    for (i, b) in bindings.iter().enumerate() {
        own(context, label, b.buffer)?;
        if b.size > caps.max_binding {
            return unsupported(
                format!("{label}: binding {i} of {} bytes", b.size),
                format!("its largest binding is {} bytes", caps.max_binding),
            );
        }
        if !b.offset.is_multiple_of(caps.offset_alignment) {
            return unsupported(
                format!("{label}: binding {i} at offset {}", b.offset),
                format!("offsets are multiples of {}", caps.offset_alignment),
            );
        }
        if b.offset.checked_add(b.size).is_none_or(|end| end > b.buffer.size()) {
            let (size, offset, has) = (b.size, b.offset, b.buffer.size());
            return refuse(
                label,
                format!("binding {i} of {size} bytes from byte {offset}, the buffer has {has}"),
            );
        }
        let writes = access.get(i).is_some_and(|a| *a != Access::Read);
        let shared = bindings.iter().enumerate().any(|(j, o)| i != j && o.buffer.same(b.buffer));
        if writes && shared {
            return Err(Error::Gpu(format!("{label}: binding {i} is written and its buffer is bound twice")));
        }
    }
    Ok(())
}
