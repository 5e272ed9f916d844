//! From facts to a verdict, without touching the machine.

use super::facts::{Driver, Facts};

/// The first Mesa whose software driver is let through. 22.3.6 is known to be wrong, 25.0.7 to be right; what
/// lies between has not been measured.
pub(super) const OLDEST_MESA: u32 = 25;

/// Vulkan version of that Mesa, for drivers that no package manager knows.
const OLDEST_API: (u32, u32) = (1, 4);

/// What to do about the drivers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This driver will do.
    Sound(String),
    /// None will do, for these reasons; with `loader_only`, one would if the Vulkan loader were installed.
    Unsound { reasons: Vec<String>, loader_only: bool },
    /// The user named drivers in the environment, and none of them will do.
    ChosenUnsound(String),
}

/// Whether a driver is there that will do.
pub(super) fn decide(facts: &Facts) -> Verdict {
    let mut reasons = Vec::new();
    let mut sound = None;
    for driver in &facts.drivers {
        match judge(driver, facts) {
            Ok(name) => sound = sound.or(Some(name)),
            Err(reason) => reasons.push(reason),
        }
    }
    if facts.drivers.is_empty() {
        reasons.push("no driver manifest was found".into());
    }
    for node in &facts.locked {
        reasons.push(format!("{} is there, but this user may not open it", node.display()));
    }
    if !facts.loader {
        reasons.insert(0, "the Vulkan loader libvulkan.so.1 is not installed".into());
    }
    match (sound, facts.loader, &facts.chosen) {
        (Some(name), true, _) => Verdict::Sound(name),
        (None, _, Some((variable, value))) => Verdict::ChosenUnsound(format!(
            "{variable}={value} names no sound Vulkan driver ({}); unset it to have one looked for or installed",
            reasons.join("; ")
        )),
        (sound, ..) => Verdict::Unsound { reasons, loader_only: sound.is_some() },
    }
}

/// The driver's name when it will do, else why not.
fn judge(driver: &Driver, facts: &Facts) -> Result<String, String> {
    let Driver { stem, api, library_found, packaged } = driver;
    if !library_found {
        return Err(format!("{stem}: its library is missing"));
    }
    match stem.as_str() {
        "lvp" => match facts.mesa_package.as_deref().filter(|_| *packaged) {
            Some(version) if major(version).is_some_and(|m| m >= OLDEST_MESA) => {
                Ok(format!("lavapipe (software) of Mesa {version}"))
            }
            Some(version) => Err(format!(
                "lvp: Mesa {version} is older than {OLDEST_MESA}; its shader loops end early without an error"
            )),
            None if *api >= OLDEST_API => Ok(format!("lavapipe (software), Vulkan {}.{}", api.0, api.1)),
            None => {
                Err(format!("lvp: claims Vulkan {}.{}, so it is older than Mesa {OLDEST_MESA}", api.0, api.1))
            }
        },
        "vk_swiftshader" => Ok("SwiftShader (software)".into()),
        _ => match kernel_drivers(stem).iter().find(|name| facts.kernel.contains(**name)) {
            Some(kernel) => Ok(format!("{stem} on {kernel}")),
            None => Err(format!("{stem}: no device of its kind that this user may open")),
        },
    }
}

/// Kernel drivers whose devices a Vulkan driver can open. A driver that stands for another machine's GPU
/// (`virtio`, `gfxstream`) has none: whether it works cannot be seen from here.
fn kernel_drivers(stem: &str) -> &'static [&'static str] {
    match stem {
        "intel" | "intel_hasvk" => &["i915", "xe"],
        "radeon" | "amd" => &["amdgpu"],
        "nvidia" => &["nvidia"],
        "nouveau" => &["nouveau"],
        "broadcom" => &["v3d", "vc4-drm"],
        "freedreno" => &["msm", "msm_dpu", "adreno"],
        "panfrost" => &["panthor", "panfrost"],
        "asahi" => &["asahi"],
        "powervr_mesa" => &["powervr"],
        _ => &[],
    }
}

/// First number of a package version, whatever the epoch: 25 of `1:25.0.7-2~bpo12+1`.
pub(crate) fn major(version: &str) -> Option<u32> {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest).trim();
    let end = upstream.find(|c: char| !c.is_ascii_digit()).unwrap_or(upstream.len());
    upstream[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(stem: &str, api: (u32, u32), packaged: bool) -> Driver {
        Driver { stem: stem.into(), api, library_found: true, packaged }
    }

    fn facts(drivers: Vec<Driver>, mesa: Option<&str>) -> Facts {
        Facts { loader: true, drivers, mesa_package: mesa.map(Into::into), ..Facts::default() }
    }

    /// The reasons against, or none when a driver is sound.
    fn reasons(facts: &Facts) -> Vec<String> {
        match decide(facts) {
            Verdict::Unsound { reasons, .. } => reasons,
            _ => Vec::new(),
        }
    }

    #[test]
    fn first_number_of_a_version() {
        assert_eq!(major("25.0.7-2~bpo12+1"), Some(25));
        assert_eq!(major("1:26.1.6-1"), Some(26));
        assert_eq!(major("22.3.6-1+deb12u2\n"), Some(22));
        assert_eq!(major("9~git2025"), Some(9));
        assert_eq!(major(""), None);
        assert_eq!(major("unknown"), None);
    }

    #[test]
    fn lavapipe_is_judged_by_its_package() {
        let lvp = || vec![driver("lvp", (1, 3), true)];
        assert!(matches!(decide(&facts(lvp(), Some("25.0.7-2~bpo12+1"))), Verdict::Sound(_)));
        let against = reasons(&facts(lvp(), Some("22.3.6-1+deb12u2")));
        assert!(against.iter().any(|r| r.contains("22.3.6")), "the loop bug was let through: {against:?}");
    }

    #[test]
    fn lavapipe_without_a_package_is_judged_by_its_vulkan_version() {
        assert!(matches!(decide(&facts(vec![driver("lvp", (1, 4), true)], None)), Verdict::Sound(_)));
        assert!(matches!(decide(&facts(vec![driver("lvp", (1, 3), true)], None)), Verdict::Unsound { .. }));
        // A hand-made manifest does not take the version of a package that it is not part of.
        let beside = facts(vec![driver("lvp", (1, 3), false)], Some("25.0.7"));
        assert!(matches!(decide(&beside), Verdict::Unsound { .. }));
        let beside = facts(vec![driver("lvp", (1, 4), false)], Some("22.3.6"));
        assert!(matches!(decide(&beside), Verdict::Sound(_)));
    }

    #[test]
    fn hardware_needs_its_own_device() {
        let mut all =
            facts(vec![driver("intel", (1, 4), true), driver("radeon", (1, 4), true)], Some("22.3.6"));
        assert!(matches!(decide(&all), Verdict::Unsound { .. }));
        all.kernel.insert("virtio_gpu".into());
        assert!(matches!(decide(&all), Verdict::Unsound { .. }));
        all.kernel.insert("amdgpu".into());
        assert_eq!(decide(&all), Verdict::Sound("radeon on amdgpu".into()));
        all.drivers[1].library_found = false;
        assert!(matches!(decide(&all), Verdict::Unsound { .. }));
    }

    #[test]
    fn nothing_works_without_the_loader() {
        let mut none = facts(vec![driver("lvp", (1, 4), true)], Some("25.0.7"));
        none.loader = false;
        assert!(matches!(decide(&none), Verdict::Unsound { loader_only: true, .. }));
        assert!(reasons(&none)[0].contains("libvulkan"));
        none.drivers.clear();
        assert!(matches!(decide(&none), Verdict::Unsound { loader_only: false, .. }));
        none.loader = true;
        assert!(matches!(decide(&none), Verdict::Unsound { loader_only: false, .. }));
    }

    #[test]
    fn a_choice_in_the_environment_is_not_overruled() {
        let mut chosen = facts(vec![driver("lvp", (1, 3), false)], None);
        chosen.chosen = Some(("VK_DRIVER_FILES", "a.json".into()));
        for loader in [true, false] {
            chosen.loader = loader;
            let verdict = decide(&chosen);
            let named = matches!(&verdict, Verdict::ChosenUnsound(m) if m.contains("VK_DRIVER_FILES=a.json"));
            assert!(named, "{verdict:?}");
        }
    }
}
