//! What to ask of apt, worked out from text alone.

use super::decide::{OLDEST_MESA, major};
use super::sources::{Source, backports, has_suite};

/// The release of the running system.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Release {
    /// `debian`, `ubuntu` …
    pub(super) id: String,
    /// `bookworm`, `noble` …
    pub(super) codename: String,
}

/// Packages to install, and what it takes to reach them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// A sources file to write: path and text.
    pub(super) file: Option<(&'static str, String)>,
    /// Suite to prefer.
    pub(super) target: Option<String>,
    /// Packages.
    pub(super) packages: &'static [&'static str],
}

/// The package whose version decides.
pub(super) const MESA: &str = "mesa-vulkan-drivers";

const BACKPORTS: &str = "/etc/apt/sources.list.d/foveal-backports.sources";

/// Reads `/etc/os-release`.
pub(super) fn release(text: &str) -> Release {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    Release { id: field("ID"), codename: field("VERSION_CODENAME") }
}

/// How to get a sound driver, or the loader alone where a driver is there already.
pub(super) fn plan(release: &Release, sources: &[Source], loader_only: bool) -> Result<Plan, String> {
    if loader_only {
        return Ok(Plan { file: None, target: None, packages: &["libvulkan1"] });
    }
    let packages = &[MESA, "libvulkan1"];
    // Debian 12 is the one release whose own Mesa is too old and whose backports have a newer one.
    if (release.id.as_str(), release.codename.as_str()) != ("debian", "bookworm") {
        return Ok(Plan { file: None, target: None, packages });
    }
    let suite = format!("{}-backports", release.codename);
    let file = if has_suite(sources, &suite) {
        None
    } else {
        let text = backports(sources, &release.codename).ok_or_else(|| {
            format!(
                "no apt source has the suite {}, so there is no mirror to take {suite} from",
                release.codename
            )
        })?;
        Some((BACKPORTS, text))
    };
    Ok(Plan { file, target: Some(suite), packages })
}

impl Plan {
    /// Arguments that make apt prefer the plan's suite.
    fn preference(&self) -> Vec<String> {
        self.target.iter().flat_map(|suite| ["-t".into(), suite.clone()]).collect()
    }

    /// `apt-cache …`: which version would be installed.
    pub(super) fn policy(&self) -> Vec<String> {
        [self.preference(), vec!["policy".into(), MESA.into()]].concat()
    }

    /// `apt-get …`: the installation.
    pub(super) fn install(&self) -> Vec<String> {
        crate::apt::installation(&self.preference(), self.packages)
    }

    /// The plan as a person would type it, as root.
    pub(super) fn script(&self) -> String {
        let mut lines = Vec::new();
        if let Some((path, text)) = &self.file {
            lines.push(format!("cat > {path} <<'END'\n{text}END"));
        }
        lines.push("apt-get update".into());
        lines.push(format!("apt-get {}", self.install().join(" ")));
        lines.join("\n")
    }
}

/// Whether the version that `apt-cache policy` says would be installed is sound; the version, or why not.
pub(super) fn candidate(policy: &str) -> Result<String, String> {
    let version =
        policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:")).map_or("", str::trim);
    match major(version) {
        Some(m) if m >= OLDEST_MESA => Ok(version.into()),
        Some(_) => Err(format!(
            "apt has Mesa {version}, older than {OLDEST_MESA}: use a newer release of the system, or unpack \
             another driver and name its manifest in VK_DRIVER_FILES"
        )),
        None => Err(format!("apt knows no package {MESA}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sources::parse;
    use super::*;

    const ONE: &str = "deb http://mirror.example/debian bookworm main\n";
    const TWO: &str = "deb http://mirror.example/debian bookworm-backports main\n";

    fn bookworm() -> Release {
        release(
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n",
        )
    }

    #[test]
    fn release_fields_may_be_quoted_or_absent() {
        assert_eq!(bookworm(), Release { id: "debian".into(), codename: "bookworm".into() });
        assert_eq!(
            release("ID='ubuntu'\nID_LIKE=debian\n"),
            Release { id: "ubuntu".into(), codename: String::new() }
        );
    }

    #[test]
    fn debian_12_takes_its_backports_and_adds_them_only_once() {
        let plan_one = plan(&bookworm(), &parse(ONE, false), false).expect("a plan");
        assert!(plan_one.file.as_ref().is_some_and(|(_, text)| text.contains("bookworm-backports")));
        assert_eq!(plan_one.target.as_deref(), Some("bookworm-backports"));
        let script = plan_one.script();
        assert!(script.ends_with("-t bookworm-backports mesa-vulkan-drivers libvulkan1"), "{script}");
        let both = parse(&[ONE, TWO].concat(), false);
        assert_eq!(plan(&bookworm(), &both, false).map(|p| p.file), Ok(None));
        assert!(plan(&bookworm(), &[], false).is_err());
    }

    #[test]
    fn other_releases_install_what_they_have() {
        let noble = Release { id: "ubuntu".into(), codename: "noble".into() };
        let plan = plan(&noble, &[], false).expect("a plan");
        assert_eq!((plan.file.is_none(), plan.target.as_deref()), (true, None));
        assert_eq!(plan.policy(), ["policy", "mesa-vulkan-drivers"]);
    }

    #[test]
    fn a_machine_with_a_driver_gets_the_loader_only() {
        let plan = plan(&bookworm(), &parse(ONE, false), true).expect("a plan");
        assert_eq!((plan.file.is_none(), plan.packages), (true, &["libvulkan1"][..]));
    }

    #[test]
    fn an_old_candidate_is_refused() {
        let policy =
            "mesa-vulkan-drivers:\n  Installed: (none)\n  Candidate: 25.0.7-2~bpo12+1\n  Version table:\n";
        assert_eq!(candidate(policy).as_deref(), Ok("25.0.7-2~bpo12+1"));
        assert!(
            candidate("x:\n  Installed: 25.0.7\n  Candidate: 22.3.6-1\n")
                .is_err_and(|e| e.contains("22.3.6"))
        );
        assert!(candidate("x:\n  Candidate: (none)\n").is_err());
        assert!(candidate("").is_err());
    }
}
