//! Cards that are compiled for.

use super::marks::Dump;
use super::{agx, ir3, nak, radv};

/// Which Mesa compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The one that this project's driver comes from, Debian 12's backports: it changes seldom.
    Backports,
    /// The newest that Debian has.
    Sid,
}

/// Mesa's drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    Radv,
    Nvk,
    Honeykrisp,
    Turnip,
}

/// One card.
#[derive(Debug)]
pub(super) struct Card {
    /// The name of its record.
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) source: Source,
    pub(super) driver: Driver,
    /// What tells the library in the kernel driver's place which card it stands for.
    pub(super) chosen: Option<(&'static str, &'static str)>,
    /// Part of the adapter's name.
    pub(super) adapter: &'static str,
}

use Driver::{Honeykrisp, Nvk, Radv, Turnip};
use Source::{Backports, Sid};

const AMD: &str = "AMDGPU_GPU_ID";

#[rustfmt::skip]
pub(super) const CARDS: &[Card] = &[
    Card { name: "navi31", what: "AMD Radeon RX 7900 XTX (RDNA3)", source: Backports, driver: Radv, chosen: Some((AMD, "navi31")), adapter: "NAVI31" },
    Card { name: "navi21", what: "AMD Radeon RX 6800 (RDNA2)", source: Backports, driver: Radv, chosen: Some((AMD, "navi21")), adapter: "NAVI21" },
    Card { name: "navi31-sid", what: "AMD Radeon RX 7900 XTX (RDNA3), newest Mesa", source: Sid, driver: Radv, chosen: Some((AMD, "navi31")), adapter: "NAVI31" },
    Card { name: "gfx1201", what: "AMD Radeon RX 9070 XT (RDNA4)", source: Sid, driver: Radv, chosen: Some((AMD, "gfx1201")), adapter: "GFX1201" },
    Card { name: "phoenix", what: "AMD Radeon 780M, integrated (RDNA3)", source: Sid, driver: Radv, chosen: Some((AMD, "phoenix")), adapter: "PHOENIX" },
    Card { name: "ga102", what: "NVIDIA GA102 (Ampere)", source: Sid, driver: Nvk, chosen: Some(("NOUVEAU_CHIPSET", "172")), adapter: "NVK" },
    Card { name: "m1", what: "Apple M1", source: Sid, driver: Honeykrisp, chosen: None, adapter: "Apple M1" },
    Card { name: "adreno750", what: "Qualcomm Adreno 750", source: Sid, driver: Turnip, chosen: Some(("FD_GPU_ID", "750")), adapter: "Adreno (TM) 750" },
];

/// The card that CI compares.
pub(super) const GATE: &str = "navi31";

/// Cards by name; all where none is named.
pub(super) fn cards(names: &[String]) -> Result<Vec<&'static Card>, String> {
    if names.is_empty() {
        return Ok(CARDS.iter().collect());
    }
    let find = |name: &String| {
        CARDS.iter().find(|card| card.name == name).ok_or_else(|| {
            let known: Vec<_> =
                CARDS.iter().map(|card| format!("  {:<12}{}", card.name, card.what)).collect();
            format!("no card is named {name}; there are\n{}", known.join("\n"))
        })
    };
    names.iter().map(find).collect()
}

impl Driver {
    /// Begins the names of its library, `libvulkan_….so`, and of its manifest, `…_icd.json`.
    pub(super) fn stem(self) -> &'static str {
        match self {
            Radv => "radeon",
            Nvk => "nouveau",
            Honeykrisp => "asahi",
            Turnip => "freedreno",
        }
    }

    /// The library of the package mesa-drm-shim that answers in the kernel driver's place.
    pub(super) fn shim(self) -> &'static str {
        match self {
            Radv => "libamdgpu_noop_drm_shim.so",
            Nvk => "libnouveau_noop_drm_shim.so",
            Honeykrisp => "libasahi_noop_drm_shim.so",
            Turnip => "libfreedreno_noop_drm_shim.so",
        }
    }

    /// What makes it print statistics and code.
    pub(super) fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Radv => &[("RADV_DEBUG", "nocache,shaderstats,asm")],
            // Its statistics come only with the text after every pass: gigabytes, in minutes.
            Nvk => &[("NAK_DEBUG", "print"), ("NVK_I_WANT_A_BROKEN_VULKAN_DRIVER", "1")],
            Honeykrisp => &[("AGX_MESA_DEBUG", "shaderdb")],
            Turnip => &[("IR3_SHADER_DEBUG", "cs"), ("MESA_LOG_LEVEL", "info")],
        }
    }

    pub(super) fn dump(self) -> Box<dyn Dump> {
        match self {
            Radv => Box::<radv::Radv>::default(),
            Nvk => Box::<nak::Nak>::default(),
            Honeykrisp => Box::<agx::Agx>::default(),
            Turnip => Box::<ir3::Ir3>::default(),
        }
    }
}
