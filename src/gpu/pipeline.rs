//! Compiled kernels, cached for the life of the context.

use super::context::{Context, Inner, lock};
use super::error_scope::Scopes;
use crate::shader::Composed;
use crate::{Error, Result};
use std::sync::Arc;

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read only.
    Read,
    /// Written, every element, without being read first.
    Write,
    /// Read and written.
    ReadWrite,
}

/// Identity of a compiled kernel: stem and a hash of everything that shapes its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PipelineKey {
    /// Stem of the kernel.
    pub stem: &'static str,
    /// Hash of variant, constants and modules.
    pub variant: u64,
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

pub(super) type BindGroupKey = (PipelineKey, Vec<(u64, u64, u64)>);

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(super) key: PipelineKey,
    pub(super) label: String,
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    /// Parameters travel as immediates rather than through the uniform ring.
    pub(super) immediate: bool,
}

impl Context {
    /// The compiled kernel, compiling it on first use.
    pub(crate) fn pipeline(
        &self,
        key: PipelineKey,
        source: impl FnOnce() -> Result<PipelineSource>,
    ) -> Result<Arc<Pipeline>> {
        if let Some(found) = lock(&self.inner.pipelines).get(&key) {
            return Ok(found.clone());
        }
        let pipeline = Arc::new(self.inner.compile(key, source()?)?);
        lock(&self.inner.pipelines).insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

impl Inner {
    fn compile(&self, key: PipelineKey, source: PipelineSource) -> Result<Pipeline> {
        self.alive()?;
        let PipelineSource { label, composed, access, params_bytes, checked } = source;
        let scopes = Scopes::push(&self.device);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(composed.text().into()),
        };
        let module = if self.checked {
            self.device.create_shader_module(descriptor)
        } else {
            // Naga's bounds on loops cost whatever a driver would unroll.
            let unchecked = wgpu::ShaderRuntimeChecks::unchecked();
            let checks =
                wgpu::ShaderRuntimeChecks { bounds_checks: checked, int_div_checks: checked, ..unchecked };
            // SAFETY: every kernel of the registry is tested with guard bands around its outputs, and `check` bounds its
            // sizes before a dispatch; kernels and texts from outside are their authors' to answer for, as the documentation
            // of both doors says.
            unsafe { self.device.create_shader_module_trusted(descriptor, checks) }
        };
        let bindings: Vec<_> =
            (0u32..).zip(&access).map(|(binding, access)| layout_entry(binding, *access)).collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &bindings,
        });
        let immediate = self.caps.immediate_bytes >= params_bytes;
        let params_layout = (!immediate).then(|| self.params_layout());
        let groups: Vec<Option<&wgpu::BindGroupLayout>> =
            std::iter::once(Some(&layout)).chain(params_layout.as_ref().map(Some)).collect();
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &groups,
            immediate_size: if immediate { params_bytes } else { 0 },
        });
        let raw = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(key.stem),
            compilation_options: wgpu::PipelineCompilationOptions {
                // With checks neither: what a kernel forgets to set shows.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.cache.as_ref(),
        });
        let variant = label.clone();
        let failed = scopes.pop_then(&mut lock(&self.errors), move |error| {
            error.map(|error| match super::error_scope::describe(error) {
                Error::Gpu(message) => {
                    let (location, message) = composed.locate(&message);
                    Error::Shader { variant, location, message }
                }
                other => other,
            })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(Pipeline { key, label, raw, layout, immediate }),
        }
    }

    /// Parameters come through a uniform with a dynamic offset where the device has no immediates.
    pub(super) fn params_layout(&self) -> wgpu::BindGroupLayout {
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
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("params"),
            entries: &[entry],
        })
    }
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
