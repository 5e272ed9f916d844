//! Compiled kernels, cached for the life of the context.

use super::device::Device;
use super::error_scope::{Scopes, call_and_reasons, describe};
use super::lock::lock;
use super::track::Access;
use crate::shader::Composed;
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Identity of a compiled kernel: stem and a hash of everything that shapes its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PipelineKey {
    /// Stem of the kernel.
    pub(crate) stem: &'static str,
    /// Hash of variant, constants and modules.
    pub(crate) variant: u64,
}

/// What is needed to compile a kernel that is not cached yet.
pub(crate) struct PipelineSource {
    pub(crate) label: String,
    pub(crate) composed: Composed,
    pub(crate) access: Vec<Access>,
    pub(crate) params_bytes: u32,
    /// With checked indices and divisions.
    pub(crate) checked: bool,
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(super) key: PipelineKey,
    pub(super) label: String,
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    /// Parameters travel as immediates rather than through the uniform ring.
    pub(super) immediate: bool,
}

/// The kernels that were compiled so far.
#[derive(Debug)]
pub(super) struct Pipelines {
    compiled: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    /// What the driver keeps of them from one run to the next.
    kept: Option<wgpu::PipelineCache>,
    /// Compile all with run-time checks.
    checked: bool,
}

impl Pipelines {
    pub(super) fn new(kept: Option<wgpu::PipelineCache>, checked: bool) -> Self {
        Self { compiled: Mutex::default(), kept, checked }
    }

    pub(super) fn checked(&self) -> bool {
        self.checked
    }

    pub(super) fn kept(&self) -> Option<&wgpu::PipelineCache> {
        self.kept.as_ref()
    }

    pub(super) fn has(&self, key: &PipelineKey) -> bool {
        lock(&self.compiled).contains_key(key)
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.compiled).len()
    }

    /// The compiled kernel, compiling it on first use.
    pub(super) fn get(
        &self,
        device: &Device,
        key: PipelineKey,
        source: impl FnOnce() -> Result<PipelineSource>,
    ) -> Result<Arc<Pipeline>> {
        if let Some(found) = lock(&self.compiled).get(&key) {
            return Ok(found.clone());
        }
        let pipeline = Arc::new(self.compile(device, key, source()?)?);
        // Of two threads that compiled it at once, the first one's stays.
        Ok(lock(&self.compiled).entry(key).or_insert(pipeline).clone())
    }

    fn compile(&self, device: &Device, key: PipelineKey, source: PipelineSource) -> Result<Pipeline> {
        device.alive()?;
        let PipelineSource { label, composed, access, params_bytes, checked } = source;
        let scopes = Scopes::push(&device.raw);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(composed.text().into()),
        };
        let module = if self.checked {
            device.raw.create_shader_module(descriptor)
        } else {
            // Naga's bounds on loops cost whatever a driver would unroll.
            let unchecked = wgpu::ShaderRuntimeChecks::unchecked();
            let checks =
                wgpu::ShaderRuntimeChecks { bounds_checks: checked, int_div_checks: checked, ..unchecked };
            // SAFETY: every kernel of the registry is tested with guard bands around its outputs, and `check` bounds its
            // sizes before a dispatch; kernels and texts from outside are their authors' to answer for, as the documentation
            // of both doors says.
            unsafe { device.raw.create_shader_module_trusted(descriptor, checks) }
        };
        let bindings: Vec<_> =
            (0u32..).zip(&access).map(|(binding, access)| layout_entry(binding, *access)).collect();
        let layout = device.raw.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &bindings,
        });
        let immediate = device.caps.immediate_bytes >= params_bytes;
        let params_layout = (!immediate).then(|| params_layout(device));
        let groups: Vec<Option<&wgpu::BindGroupLayout>> =
            std::iter::once(Some(&layout)).chain(params_layout.as_ref().map(Some)).collect();
        let pipeline_layout = device.raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &groups,
            immediate_size: if immediate { params_bytes } else { 0 },
        });
        let raw = device.raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(key.stem),
            compilation_options: wgpu::PipelineCompilationOptions {
                // With checks neither: what a kernel forgets to set shows.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.kept.as_ref(),
        });
        let variant = label.clone();
        let failed = scopes.pop_then(&mut device.errors(), move |error| {
            error.map(|error| match &error {
                wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
                    let (location, message) = composed.locate(call_and_reasons(description).1);
                    Error::Shader { variant, location, message }
                }
                wgpu::Error::OutOfMemory { .. } => describe(error),
            })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(Pipeline { key, label, raw, layout, immediate }),
        }
    }
}

/// Parameters come through a uniform with a dynamic offset where the device has no immediates.
pub(super) fn params_layout(device: &Device) -> wgpu::BindGroupLayout {
    let entry = wgpu::BindGroupLayoutEntry {
        binding: 0,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: true,
            min_binding_size: None,
        },
        count: None,
    };
    device.raw.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("params"),
        entries: &[entry],
    })
}

fn layout_entry(binding: u32, access: Access) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]
pub(super) mod tests {
    use super::*;
    use crate::gpu::Caps;
    use crate::shader::{Const, Head, Source, compose};
    use crate::wgsl;

    pub(crate) const KEY: PipelineKey = PipelineKey { stem: "probe_loops", variant: 0 };
    const PARAMS: Source = wgsl!("shared/params.uniform.wgsl");

    /// A kernel of two bindings; without its parameters one that does not compile.
    pub(crate) fn source(modules: &[Source]) -> PipelineSource {
        let head = Head { consts: vec![("WG_SIZE", Const::U32(1))], ..Head::default() };
        PipelineSource {
            label: "probe_loops".into(),
            composed: compose(&head, modules, wgsl!("probe/probe_loops.wgsl")),
            access: vec![Access::Read, Access::Write],
            params_bytes: 12,
            checked: false,
        }
    }

    pub(crate) fn whole() -> Result<PipelineSource> {
        Ok(source(&[PARAMS]))
    }

    #[test]
    fn a_kernel_is_compiled_once_and_a_wrong_one_again() {
        let device = Device::noop(Caps::webgpu_default());
        let pipelines = Pipelines::new(None, false);
        let mut asked = 0;
        for _ in 0..3 {
            let get = pipelines.get(&device, KEY, || {
                asked += 1;
                whole()
            });
            assert_eq!(get.unwrap().key, KEY);
        }
        assert_eq!(asked, 1);
        let other = PipelineKey { variant: 1, ..KEY };
        for _ in 0..2 {
            let error = pipelines.get(&device, other, || Ok(source(&[]))).unwrap_err();
            assert!(error.to_string().contains("shaders/probe/probe_loops.wgsl:"), "{error}");
        }
        assert!(pipelines.get(&device, other, whole).is_ok());
    }
}
