//! What can be wrong with a command is found before it is recorded, since a submission that the API refuses takes everything
//! in it along.

use super::caps::Caps;
use super::identity::Identity;
use super::memory::{Binding, Buffer};
use super::track::Access;
use crate::{Error, Result};

pub(super) fn refuse<T>(what: &str, reason: impl Into<String>) -> Result<T> {
    Err(Error::input(what, reason))
}

/// An error for a buffer of another context.
fn own(context: &Identity, call: &'static str, tensor: &str, buffer: &Buffer) -> Result<()> {
    let found = &buffer.0.context;
    if found == context {
        return Ok(());
    }
    let (expected, found) = (context.to_string(), found.to_string());
    Err(Error::Context { kernel: call, tensor: tensor.into(), expected, found })
}

/// An error for an app's buffer without a usage, with what needs it.
pub(super) fn usage(
    call: &'static str,
    buffer: &wgpu::Buffer,
    usage: wgpu::BufferUsages,
    reason: &str,
) -> Result<()> {
    if buffer.usage().contains(usage) {
        return Ok(());
    }
    let name = usage.iter_names().next().map_or("of none", |(name, _)| name);
    Err(Error::Usage { kernel: call, usage: name, reason: reason.into() })
}

/// What the API would find wrong with a range that is copied, when it is too late.
pub(super) fn copy(
    context: &Identity,
    call: &'static str,
    place: &Binding<'_>,
    needed: wgpu::BufferUsages,
) -> Result<()> {
    let Binding { buffer, offset, size } = *place;
    let source = needed == wgpu::BufferUsages::COPY_SRC;
    own(context, call, if source { "source" } else { "destination" }, buffer)?;
    if !offset.is_multiple_of(4) || !size.is_multiple_of(4) {
        return refuse(call, format!("no whole words: {size} bytes from byte {offset}, multiples of 4 are"));
    }
    if offset.checked_add(size).is_none_or(|end| end > buffer.size()) {
        let has = buffer.size();
        return refuse(call, format!("past the end: {size} bytes from byte {offset}, the buffer has {has}"));
    }
    let reason = if source { "its bytes are copied out of it" } else { "bytes are copied into it" };
    usage(call, buffer.raw(), needed, reason)
}

/// What the API would find wrong with a dispatch.
pub(super) fn dispatch(
    context: &Identity,
    caps: &Caps,
    (stem, label): (&'static str, &str),
    access: &[Access],
    bindings: &[Binding<'_>],
    workgroups: [u32; 3],
) -> Result<()> {
    let unsupported = |what: String, reason: String| Err(Error::unsupported(what, &caps.adapter, reason));
    if workgroups.iter().any(|&n| n > caps.max_workgroups) {
        return unsupported(
            format!("{label} with {workgroups:?} workgroups"),
            format!("at most {} along an axis", caps.max_workgroups),
        );
    }
    for (i, b) in bindings.iter().enumerate() {
        if b.buffer.0.context != *context {
            own(context, stem, &format!("binding {i}"), b.buffer)?;
        }
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
                format!("past the end: binding {i} of {size} bytes from byte {offset}, the buffer has {has}"),
            );
        }
        let writes = access.get(i).is_some_and(|a| *a != Access::Read);
        let shared = bindings.iter().enumerate().any(|(j, o)| i != j && o.buffer.same(b.buffer));
        if writes && shared {
            let reason = format!("binding {i} is written and its buffer is bound twice");
            return Err(Error::problem(stem, reason));
        }
    }
    Ok(())
}
