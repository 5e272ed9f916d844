//! Finding adapters and saying why one is refused.

use super::caps::{Caps, CoopMatrix};
use super::options::{AdapterChoice, SelfTest};
use crate::{Error, Result};
use std::fmt;
use std::future::Future as _;

impl std::str::FromStr for AdapterChoice {
    type Err = std::convert::Infallible;

    /// `best`, `low-power`, `software`, a number, or part of a name.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(match s {
            "best" | "" => Self::Best,
            "low-power" => Self::LowPower,
            "software" => Self::Software,
            _ => s.parse().map(Self::Index).unwrap_or_else(|_| Self::Name(s.to_owned())),
        })
    }
}

/// As it is typed, quoted: `best`, `2`, `Radeon`.
impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("`best`"),
            Self::LowPower => f.write_str("`low-power`"),
            Self::Software => f.write_str("`software`"),
            Self::Index(number) => write!(f, "`{number}`"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

/// One adapter of this machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdapterReport {
    /// Number to choose it by.
    pub index: usize,
    /// What it offers.
    pub caps: Caps,
    /// Why it is not used, if so.
    pub refused: Option<String>,
}

impl fmt::Display for AdapterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.index, self.caps)?;
        match &self.refused {
            Some(reason) => write!(f, " — refused: {reason}"),
            None => Ok(()),
        }
    }
}

/// Mesa's software rasteriser before 25 ends every shader loop after 65,535 back-edges, without an error.
fn known_unsound(info: &wgpu::AdapterInfo) -> Option<String> {
    let mesa = info.driver_info.split("Mesa ").nth(1)?;
    let major: u32 = mesa.split('.').next()?.parse().ok()?;
    (info.device_type == wgpu::DeviceType::Cpu && major < 25).then(|| {
        format!("{} stops shader loops after 65,535 iterations and returns wrong numbers; Mesa 25 or newer is needed", info.driver_info)
    })
}

/// Why no kernel runs within these limits, if so.
fn too_small(limits: &wgpu::Limits) -> Option<String> {
    let bindings = limits.max_storage_buffers_per_shader_stage;
    if bindings < 8 {
        return Some(format!("{bindings} storage buffers per kernel; 8 are needed"));
    }
    let invocations = limits.max_compute_invocations_per_workgroup;
    if invocations < 256 {
        return Some(format!("{invocations} invocations per workgroup; 256 are needed"));
    }
    let memory = limits.max_compute_workgroup_storage_size;
    (memory < 16 << 10).then(|| format!("{memory} bytes of workgroup memory; {} are needed", 16 << 10))
}

/// What is wrong with an adapter or with a device of it, by what both tell.
fn unfit(info: &wgpu::AdapterInfo, limits: &wgpu::Limits, trust: SelfTest) -> Option<String> {
    if info.backend == wgpu::Backend::Noop {
        return Some("the no-op backend computes nothing".into());
    }
    too_small(limits).or_else(|| if trust == SelfTest::Skip { None } else { known_unsound(info) })
}

fn refusal(adapter: &wgpu::Adapter, trust: SelfTest) -> Option<String> {
    if !adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Some("no compute shaders".into());
    }
    unfit(&adapter.get_info(), &adapter.limits(), trust)
}

/// The error where an app's device is not used.
pub(crate) fn refused_device(caps: &Caps, reason: &str) -> Error {
    Error::NoAdapter(format!("the app's device is {caps} — refused: {reason}"))
}

/// Why an app's device is not used, if so.
pub(super) fn refusal_of(device: &wgpu::Device, trust: SelfTest) -> Option<String> {
    unfit(&device.adapter_info(), &device.limits(), trust)
}

/// What an app's device offers.
pub(super) fn caps_of(device: &wgpu::Device) -> Caps {
    let mut caps = Caps::new(&device.adapter_info(), device.features(), &device.limits());
    caps.coop = matrices_of(device);
    caps
}

/// Shapes of cooperative matrices for a device with these features.
pub(super) fn matrices(adapter: &wgpu::Adapter, features: wgpu::Features) -> Vec<CoopMatrix> {
    if !features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return Vec::new();
    }
    let shape = |p: wgpu::CooperativeMatrixProperties| CoopMatrix {
        m: p.m_size,
        n: p.n_size,
        k: p.k_size,
        input: format!("{:?}", p.ab_type).to_lowercase(),
        accumulator: format!("{:?}", p.cr_type).to_lowercase(),
    };
    adapter.cooperative_matrix_properties().into_iter().map(shape).collect()
}

/// The same for a device whose adapter is not at hand: the machine's adapter of that name, driver and place tells.
fn matrices_of(device: &wgpu::Device) -> Vec<CoopMatrix> {
    let features = device.features();
    if !features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return Vec::new();
    }
    let same = |info: &wgpu::AdapterInfo| {
        let of = |i: &wgpu::AdapterInfo| {
            (
                i.name.clone(),
                i.vendor,
                i.device,
                i.device_pci_bus_id.clone(),
                i.driver_info.clone(),
                i.backend,
            )
        };
        of(info) == of(&device.adapter_info())
    };
    // Only native backends have the feature, and those answer at once.
    let instance = instance();
    let mut found = std::pin::pin!(instance.enumerate_adapters(wgpu::Backends::all()));
    let mut now = std::task::Context::from_waker(std::task::Waker::noop());
    match found.as_mut().poll(&mut now) {
        std::task::Poll::Ready(adapters) => {
            let own = adapters.iter().find(|adapter| same(&adapter.get_info()));
            own.map(|adapter| matrices(adapter, features)).unwrap_or_default()
        }
        std::task::Poll::Pending => Vec::new(),
    }
}

pub(super) async fn adapters(
    instance: &wgpu::Instance,
    trust: SelfTest,
) -> Vec<(wgpu::Adapter, AdapterReport)> {
    let found = instance.enumerate_adapters(wgpu::Backends::all()).await;
    let describe = |(index, adapter): (usize, wgpu::Adapter)| {
        let mut caps = Caps::new(&adapter.get_info(), adapter.features(), &adapter.limits());
        caps.coop = matrices(&adapter, adapter.features());
        let refused = refusal(&adapter, trust);
        (adapter, AdapterReport { index, caps, refused })
    };
    found.into_iter().enumerate().map(describe).collect()
}

/// Every adapter of every backend, with the reason where one is refused.
pub async fn list_adapters() -> Vec<AdapterReport> {
    adapters(&instance(), SelfTest::Driver).await.into_iter().map(|(_, report)| report).collect()
}

pub(super) fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle().with_env())
}

fn rank(choice: &AdapterChoice, caps: &Caps) -> u8 {
    use super::caps::AdapterClass::{Apple, Discrete, Integrated, Software};
    // OpenGL reaches the same chips with fewer features, so it comes after the native interfaces.
    let gl = if caps.backend.eq_ignore_ascii_case("gl") { 10 } else { 0 };
    gl + match (choice, caps.class) {
        (_, Software) => 5,
        (_, Apple) | (AdapterChoice::LowPower, Integrated) => 0,
        (AdapterChoice::LowPower, Discrete) => 1,
        (_, Discrete) => 0,
        (_, Integrated) => 1,
    }
}

/// Picks an adapter, or says what was found and why none fits.
pub(super) fn choose(
    mut found: Vec<(wgpu::Adapter, AdapterReport)>,
    choice: &AdapterChoice,
) -> Result<(wgpu::Adapter, AdapterReport)> {
    let listing = found.iter().map(|(_, r)| r.to_string()).collect::<Vec<_>>().join("; ");
    let wanted = |r: &AdapterReport| match choice {
        AdapterChoice::Best | AdapterChoice::LowPower => true,
        AdapterChoice::Software => r.caps.class == super::AdapterClass::Software,
        AdapterChoice::Index(i) => r.index == *i,
        AdapterChoice::Name(n) => r.caps.adapter.to_lowercase().contains(&n.to_lowercase()),
    };
    found.sort_by_key(|(_, r)| rank(choice, &r.caps));
    let best = found.into_iter().find(|(_, r)| r.refused.is_none() && wanted(r));
    best.ok_or_else(|| {
        let found = if listing.is_empty() { "none was found".to_owned() } else { format!("found {listing}") };
        Error::NoAdapter(format!("asked for {choice}, {found}"))
    })
}

#[cfg(test)]
mod tests {
    use super::{AdapterChoice, Caps, rank};
    use crate::gpu::AdapterClass;

    #[test]
    fn each_choice_has_its_order() {
        let rank = |choice, class, backend: &str| {
            rank(&choice, &Caps { class, backend: backend.into(), ..Caps::webgpu_default() })
        };
        let order = |choice: AdapterChoice, classes: [AdapterClass; 3]| {
            let ranks = classes.map(|class| rank(choice.clone(), class, "vulkan"));
            assert!(ranks.is_sorted_by(|a, b| a < b), "{choice:?} ranks {classes:?} as {ranks:?}");
        };
        order(
            AdapterChoice::Best,
            [AdapterClass::Discrete, AdapterClass::Integrated, AdapterClass::Software],
        );
        order(
            AdapterChoice::LowPower,
            [AdapterClass::Integrated, AdapterClass::Discrete, AdapterClass::Software],
        );
        let best = |backend| rank(AdapterChoice::Best, AdapterClass::Discrete, backend);
        assert!(best("vulkan") < best("gl"));
    }

    #[test]
    fn choices_are_read_from_words() {
        for (word, choice) in [
            ("", AdapterChoice::Best),
            ("best", AdapterChoice::Best),
            ("low-power", AdapterChoice::LowPower),
            ("software", AdapterChoice::Software),
            ("2", AdapterChoice::Index(2)),
            ("Radeon", AdapterChoice::Name("Radeon".into())),
        ] {
            assert_eq!(word.parse(), Ok(choice.clone()));
            let shown = if word.is_empty() { "best" } else { word };
            assert_eq!(choice.to_string(), format!("`{shown}`"));
        }
    }
}
