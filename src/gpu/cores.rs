//! Families of GPU cores, as far as kernels tell them apart.

use std::fmt;

/// Whose cores a device has: by the vendor and by what its subgroups show, never by a product's name. What kernels take for each
/// is one table, [`kernels::Choices`](crate::kernels::Choices).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cores {
    /// A CPU's.
    Cpu,
    /// NVIDIA: subgroups of 32.
    Nvidia,
    /// AMD since RDNA: subgroups of 32 or 64.
    Rdna,
    /// AMD before: subgroups of 64.
    Gcn,
    /// Intel: subgroups of 8 to 32.
    Intel,
    /// Apple: subgroups of 32, and half the registers of others.
    Apple,
    /// Qualcomm: subgroups of 64 or 128.
    Adreno,
    /// Any other, and what a browser does not tell.
    Other,
}

impl Cores {
    pub(super) fn of(info: &wgpu::AdapterInfo) -> Self {
        // PCI's numbers of vendors; Mesa's driver for Apple's GPUs has Mesa's own number, and Metal has none.
        let apple = info.backend == wgpu::Backend::Metal || info.driver.starts_with("Honeykrisp");
        match info.vendor {
            _ if info.device_type == wgpu::DeviceType::Cpu => Self::Cpu,
            0x106b => Self::Apple,
            _ if apple => Self::Apple,
            0x10de => Self::Nvidia,
            0x1002 | 0x1022 if info.subgroup_min_size == 64 => Self::Gcn,
            0x1002 | 0x1022 => Self::Rdna,
            0x8086 => Self::Intel,
            0x5143 => Self::Adreno,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "a CPU's",
            Self::Nvidia => "NVIDIA",
            Self::Rdna => "RDNA",
            Self::Gcn => "GCN",
            Self::Intel => "Intel",
            Self::Apple => "Apple",
            Self::Adreno => "Adreno",
            Self::Other => "other",
        })
    }
}
