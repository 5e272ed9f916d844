//! The numerical test crate: registry × variants × cases, golden cases, gradients, shader lints.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

pub mod devices;
pub mod docs;
pub mod errors;
pub mod golden;
pub mod hostile;
pub mod magnitudes;
pub mod mutate;
pub mod numerics;
pub mod onnx;
pub mod params;
mod random_wan;
pub mod strays;
pub mod synthetic;
mod tiny_dashfusion;
pub mod tree;
pub mod ways;

pub use random_wan::random_wan;
pub use tiny_dashfusion::{tiny_clips, tiny_dashfusion, tiny_sentiment_model, tiny_text_encoder};

use foveal::{Context, ContextOptions};
use std::path::{Path, PathBuf};

/// Root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// An empty folder of this process's own.
pub fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("foveal_{name}_{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A device with WebGPU's default limits and no optional feature, opened the way an app would hand in its own.
pub fn plain_context() -> foveal::Result<Context> {
    limited_context(wgpu::Features::empty(), |_| {})
}

/// The same with those of these features that the adapter has, and with other limits.
pub fn limited_context(
    features: wgpu::Features,
    limit: impl Fn(&mut wgpu::Limits),
) -> foveal::Result<Context> {
    let no_adapter = |e: &dyn std::fmt::Display| foveal::Error::NoAdapter(e.to_string());
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle().with_env());
    let request = wgpu::RequestAdapterOptions::default();
    let adapter = foveal::block_on(instance.request_adapter(&request)).map_err(|e| no_adapter(&e))?;
    let mut required_limits = wgpu::Limits::default();
    limit(&mut required_limits);
    let required_features = features & adapter.features();
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) =
        foveal::block_on(adapter.request_device(&descriptor)).map_err(|e| no_adapter(&e))?;
    // What is not refused by the library must not end the process by wgpu's own handler either.
    device.on_uncaptured_error(std::sync::Arc::new(|error| panic!("uncaptured: {error}")));
    foveal::block_on(Context::from_device(device, queue, ContextOptions::default()))
}
