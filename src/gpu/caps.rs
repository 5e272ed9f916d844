//! What a device can do, reduced to the questions kernels ask.

use super::cores::Cores;
use std::fmt;

/// Kind of adapter; the committed tables of variants are keyed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterClass {
    /// A CPU pretending to be a GPU (lavapipe, SwiftShader, WARP): barriers are dear, registers are cheap.
    Software,
    /// A GPU sharing memory with the CPU.
    Integrated,
    /// A GPU with its own memory.
    Discrete,
    /// An Apple GPU: integrated, with fast matrix units and 32-wide subgroups.
    Apple,
}

impl fmt::Display for AdapterClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Software => "software",
            Self::Integrated => "integrated",
            Self::Discrete => "discrete",
            Self::Apple => "apple",
        })
    }
}

/// One cooperative-matrix shape: `m × n × k`, inputs and accumulator type names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoopMatrix {
    /// Rows of the result.
    pub m: u32,
    /// Columns of the result.
    pub n: u32,
    /// Inner size.
    pub k: u32,
    /// Element type of both factors, as the API names it.
    pub input: String,
    /// Element type of the accumulator.
    pub accumulator: String,
}

impl CoopMatrix {
    /// A shape of `[m, n, k]` with the types of its factors and sums, such as `f16` and `f32`.
    pub fn new([m, n, k]: [u32; 3], input: &str, accumulator: &str) -> Self {
        Self { m, n, k, input: input.into(), accumulator: accumulator.into() }
    }
}

/// Capabilities of a device. For a device that is not at hand, [`Caps::webgpu_default`] and [`Caps::with`] make them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caps {
    /// Adapter name as the driver gives it.
    pub adapter: String,
    /// Driver name and version.
    pub driver: String,
    /// API in use.
    pub backend: String,
    /// Kind of adapter.
    pub class: AdapterClass,
    /// Whose cores it has.
    pub cores: Cores,
    /// `enable f16` works.
    pub f16: bool,
    /// Smallest and largest subgroup, where subgroup operations work.
    pub subgroup: Option<(u32, u32)>,
    /// The shader must say `enable subgroups;` (browsers) rather than nothing (native).
    pub subgroup_enable: bool,
    /// Bytes of immediates (push constants); 0 where absent.
    pub immediate_bytes: u32,
    /// Timestamps can be written around passes.
    pub timestamps: bool,
    /// Cooperative-matrix shapes; empty where absent.
    pub coop: Vec<CoopMatrix>,
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Workgroup memory in bytes.
    pub workgroup_memory: u32,
    /// Invocations of one workgroup.
    pub max_invocations: u32,
    /// Workgroups along one axis of a dispatch.
    pub max_workgroups: u32,
    /// Storage bindings of one kernel.
    pub max_storage_bindings: u32,
    /// Alignment of a storage binding's offset.
    pub offset_alignment: u64,
    /// Alignment of a dynamic uniform offset.
    pub uniform_alignment: u64,
}

impl Caps {
    /// The same with other fields: `caps.with(|c| c.f16 = true)`.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Side of the square cooperative matrices with f16 factors and f32 sums, the larger where both are there. Sides of 8
    /// and 16 are what WGSL can say.
    pub fn matrix(&self) -> Option<u32> {
        let fits = |c: &CoopMatrix, side: u32| {
            [c.m, c.n, c.k] == [side; 3] && c.input.contains("16") && c.accumulator.contains("32")
        };
        [16, 8].into_iter().find(|&side| self.f16 && self.coop.iter().any(|c| fits(c, side)))
    }

    /// Takes the matrices away, and returns them, where the size of a subgroup is known only while a kernel runs: what a
    /// driver makes of them there has to be seen first.
    pub(super) fn withhold_matrices(&mut self) -> Vec<CoopMatrix> {
        match self.subgroup {
            Some((low, high)) if low == high => Vec::new(),
            _ => std::mem::take(&mut self.coop),
        }
    }

    /// The WebGPU defaults: what every device has. Tests use it to prove that a variant exists there.
    pub fn webgpu_default() -> Self {
        Self {
            adapter: "webgpu default limits".into(),
            driver: String::new(),
            backend: "synthetic".into(),
            class: AdapterClass::Integrated,
            cores: Cores::Other,
            f16: false,
            subgroup: None,
            subgroup_enable: false,
            immediate_bytes: 0,
            timestamps: false,
            coop: Vec::new(),
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            workgroup_memory: 16 << 10,
            max_invocations: 256,
            max_workgroups: 65_535,
            max_storage_bindings: 8,
            offset_alignment: 256,
            uniform_alignment: 256,
        }
    }

    pub(super) fn new(info: &wgpu::AdapterInfo, features: wgpu::Features, limits: &wgpu::Limits) -> Self {
        let backend = info.backend;
        let class = match info.device_type {
            wgpu::DeviceType::Cpu => AdapterClass::Software,
            _ if backend == wgpu::Backend::Metal => AdapterClass::Apple,
            wgpu::DeviceType::DiscreteGpu => AdapterClass::Discrete,
            _ => AdapterClass::Integrated,
        };
        let subgroup = features
            .contains(wgpu::Features::SUBGROUP)
            .then_some((info.subgroup_min_size.max(1), info.subgroup_max_size.max(1)));
        Self {
            adapter: info.name.clone(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            backend: backend.to_string(),
            class,
            cores: Cores::of(info),
            f16: features.contains(wgpu::Features::SHADER_F16),
            subgroup,
            subgroup_enable: backend == wgpu::Backend::BrowserWebGpu,
            immediate_bytes: if features.contains(wgpu::Features::IMMEDIATES) {
                limits.max_immediate_size
            } else {
                0
            },
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            coop: Vec::new(),
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_storage_bindings: limits.max_storage_buffers_per_shader_stage,
            offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment.max(4)),
            uniform_alignment: u64::from(limits.min_uniform_buffer_offset_alignment.max(4)),
        }
    }

    /// Effective f32 rate in FLOP/s and memory rate in bytes/s assumed when cutting submissions until finished ones have
    /// shown more: deliberately low, since a submission cut too early costs microseconds and one cut too late trips a
    /// desktop's watchdog.
    pub fn assumed_rates(&self) -> (f64, f64) {
        match self.class {
            AdapterClass::Software => (2e9, 1e9),
            AdapterClass::Integrated => (1e11, 1e10),
            AdapterClass::Apple => (1e12, 5e10),
            AdapterClass::Discrete => (2.5e12, 1e11),
        }
    }
}

impl fmt::Display for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}, {}, {}]", self.adapter, self.backend, self.class, self.driver)?;
        write!(f, " f16 {}", if self.f16 { "yes" } else { "no" })?;
        match self.subgroup {
            Some((lo, hi)) => write!(f, ", subgroups {lo}..{hi}")?,
            None => write!(f, ", no subgroups")?,
        }
        write!(f, ", immediates {} B, {} cooperative-matrix shapes", self.immediate_bytes, self.coop.len())
    }
}
