//! Bind groups, kept for the next dispatch of the same kernel on the same tensors.

use super::device::Device;
use super::lock::lock;
use super::pipeline::{Pipeline, PipelineKey};
use crate::Result;
use std::collections::HashMap;
use std::sync::Mutex;

/// A kernel, and of each of its bindings the buffer's number, first byte and bytes.
type Key = (PipelineKey, Vec<(u64, u64, u64)>);

/// What a kernel is bound to.
pub(super) struct Bound<'a> {
    /// The buffer's number; none is given twice in a process.
    pub(super) id: u64,
    pub(super) raw: &'a wgpu::Buffer,
    pub(super) offset: u64,
    pub(super) size: u64,
    /// An app's buffer is the app's to free; a cached group would keep it.
    pub(super) borrowed: bool,
}

/// Cached groups; past this the cache starts afresh.
const MOST: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct BindGroups(Mutex<HashMap<Key, wgpu::BindGroup>>);

impl BindGroups {
    pub(super) fn get(
        &self,
        device: &Device,
        pipeline: &Pipeline,
        bound: &[Bound<'_>],
    ) -> Result<wgpu::BindGroup> {
        let key = (pipeline.key, bound.iter().map(|b| (b.id, b.offset, b.size)).collect());
        let mut cache = lock(&self.0);
        if let Some(found) = cache.get(&key) {
            return Ok(found.clone());
        }
        if cache.len() >= MOST {
            cache.clear();
        }
        let entries: Vec<_> = (0u32..)
            .zip(bound)
            .map(|(binding, b)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: b.raw,
                    offset: b.offset,
                    size: std::num::NonZero::new(b.size),
                }),
            })
            .collect();
        let made = device.attempt(|raw| {
            raw.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&pipeline.label),
                layout: &pipeline.layout,
                entries: &entries,
            })
        });
        match made {
            Ok(group) => {
                if !bound.iter().any(|b| b.borrowed) {
                    cache.insert(key, group.clone());
                }
                Ok(group)
            }
            Err(error) => {
                // Asking for the loss of the device may call back into the context.
                drop(cache);
                Err(device.fault(error))
            }
        }
    }

    /// Lets go of groups that name one of these buffers.
    pub(super) fn forget(&self, ids: &[u64]) {
        if !ids.is_empty() {
            lock(&self.0).retain(|(_, bindings), _| !bindings.iter().any(|(id, _, _)| ids.contains(id)));
        }
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]
mod tests {
    use super::*;
    use crate::gpu::Caps;
    use crate::gpu::pipeline::Pipelines;
    use crate::gpu::pipeline::tests::{KEY, whole};

    #[test]
    fn groups_are_kept_while_their_buffers_are_and_never_those_of_apps() {
        let device = Device::noop(Caps::webgpu_default());
        let pipeline = Pipelines::new(None, false).get(&device, KEY, whole).unwrap();
        let [ones, y] = [0, 1].map(|_| {
            device.raw.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 32,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        });
        let groups = BindGroups::default();
        let bind = |id, borrowed| {
            let bound = |id, raw| Bound { id, raw, offset: 0, size: 32, borrowed };
            groups.get(&device, &pipeline, &[bound(0, &ones), bound(id, &y)]).unwrap()
        };
        let kept = bind(1, false);
        assert_eq!(bind(1, false), kept);
        assert_ne!(bind(2, true), bind(2, true));
        groups.forget(&[3]);
        assert_eq!(bind(1, false), kept);
        groups.forget(&[1]);
        assert_ne!(bind(1, false), kept);
    }
}
