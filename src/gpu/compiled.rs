//! Compiled kernels from one run to the next, where the driver hands them out.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Bytes of the digest that stands before a driver's own data.
const DIGEST: usize = 8;

/// Finds data that were cut off or changed on the way; another version of the standard library may compute another one,
/// and the data are then made anew.
fn digest(data: &[u8]) -> [u8; DIGEST] {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

/// The driver's part of data that are whole.
fn whole(data: &[u8]) -> Option<&[u8]> {
    let (found, rest) = data.split_first_chunk::<DIGEST>()?;
    (*found == digest(rest)).then_some(rest)
}

/// A cache for the pipelines of a device, filled from an earlier run's data; `None` where the driver has none.
pub(super) fn cache(device: &wgpu::Device, data: Option<&[u8]>) -> Option<wgpu::PipelineCache> {
    if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
        return None;
    }
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some("foveal"),
        data: data.and_then(whole),
        // Data of another driver or version are left aside.
        fallback: true,
    };
    // SAFETY: data with a right digest were written by `compiled_kernels`; who forges one can as well write the program.
    Some(unsafe { device.create_pipeline_cache(&descriptor) })
}

/// What [`cache`] of a later run takes: everything in it so far.
pub(super) fn data(cache: &wgpu::PipelineCache) -> Option<Vec<u8>> {
    cache.get_data().map(|data| [&digest(&data), data.as_slice()].concat())
}
