//! Package sources of apt, in both of their notations: which are configured, and the text of one more.

/// One place to get packages from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Addresses, as written.
    uris: String,
    /// Suites: `bookworm`, `bookworm-updates` …
    suites: Vec<String>,
    /// Everything else that says how to reach and trust it (`Signed-By` …), as field name and value.
    options: Vec<(String, String)>,
}

impl Source {
    /// Has apt ask for signatures, whatever was written.
    pub(super) fn distrust(&mut self) {
        let own = ["trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"];
        self.options.retain(|(name, _)| !own.contains(&name.to_lowercase().as_str()));
    }
}

/// The enabled sources of binary packages in a file of `/etc/apt`; `deb822` says which notation it has.
pub(super) fn parse(text: &str, deb822: bool) -> Vec<Source> {
    if deb822 {
        stanzas(text).iter().filter_map(|s| stanza(s)).collect()
    } else {
        text.lines().filter_map(line).collect()
    }
}

/// Whether a suite is configured.
pub(super) fn has_suite(sources: &[Source], suite: &str) -> bool {
    sources.iter().any(|source| source.suites.iter().any(|s| s == suite))
}

/// A sources file for the backports of a release, from the place that the release itself comes from.
pub(super) fn backports(sources: &[Source], codename: &str) -> Option<String> {
    beside(sources, codename, &format!("{codename}-backports"))
}

/// A sources file for another suite, from the place that a release comes from.
pub(super) fn beside(sources: &[Source], codename: &str, suite: &str) -> Option<String> {
    let base = sources.iter().find(|source| {
        source.suites.iter().any(|s| s == codename) && !source.uris.trim_start().starts_with("cdrom:")
    })?;
    let mut text = format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n", base.uris);
    for (name, value) in &base.options {
        text += &format!("{name}: {value}\n");
    }
    Some(text)
}

/// Fields of each stanza of a deb822 file. A value keeps its continuation lines, since a key may be written out.
fn stanzas(text: &str) -> Vec<Vec<(String, String)>> {
    let mut all = vec![Vec::<(String, String)>::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(current) = all.last_mut() else { break };
        if line.trim().is_empty() {
            all.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = current.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            current.push((name.trim().into(), value.trim().into()));
        }
    }
    all
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let get = |name: &str| fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let off =
        get("Enabled").is_some_and(|v| ["no", "false", "0", "off"].contains(&v.to_lowercase().as_str()));
    if off || !get("Types")?.split_whitespace().any(|t| t == "deb") {
        return None;
    }
    let own = ["types", "uris", "suites", "components", "enabled"];
    let options = fields.iter().filter(|(n, _)| !own.contains(&n.to_lowercase().as_str())).cloned().collect();
    let suites = get("Suites")?.split_whitespace().map(Into::into).collect();
    Some(Source { uris: get("URIs")?.split_whitespace().collect::<Vec<_>>().join(" "), suites, options })
}

/// `deb [signed-by=FILE arch=ARCH] URI SUITE COMPONENT…`
fn line(text: &str) -> Option<Source> {
    let rest = text.split('#').next()?.trim().strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracket) => bracket.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let options = options.split_whitespace().filter_map(|o| o.split_once('=')).filter_map(|(name, value)| {
        let field = match name.to_lowercase().as_str() {
            "signed-by" => "Signed-By",
            "trusted" => "Trusted",
            "arch" => "Architectures",
            "check-valid-until" => "Check-Valid-Until",
            _ => return None,
        };
        Some((field.to_owned(), value.replace(',', " ")))
    });
    Some(Source { uris: uri.into(), suites: vec![suite.into()], options: options.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
Types: deb
# a comment inside a stanza
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm-backports
Components: main

Types: deb-src
URIs: http://mirror.example/debian
Suites: trixie
Components: main
";

    #[test]
    fn backports_come_from_the_mirror_of_the_release() {
        let sources = parse(DEB822, true);
        assert_eq!(sources.len(), 2);
        assert!(!has_suite(&sources, "bookworm-backports"), "a disabled source counts as configured");
        assert!(has_suite(&sources, "bookworm-updates"));
        assert_eq!(
            backports(&sources, "bookworm").as_deref(),
            Some(
                "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\
                 Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
            )
        );
        assert_eq!(backports(&sources, "trixie"), None);
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = backports(&parse(DEB822, true), "bookworm").expect("a mirror");
        let again = parse(&text, true);
        assert!(has_suite(&again, "bookworm-backports"));
        assert_eq!(again[0].options.len(), 1);
    }

    #[test]
    fn one_line_notation_with_and_without_options() {
        let text = "\
# deb http://mirror.example/old bookworm main
deb-src http://mirror.example/debian bookworm main
deb cdrom:[Debian_12]/ bookworm main
deb [ arch=amd64,arm64 signed-by=/k.gpg ] http://mirror.example/debian bookworm main contrib # why
deb\thttp://mirror.example/debian bookworm-updates main
debris
deb [broken
";
        let sources = parse(text, false);
        assert_eq!(sources.len(), 3, "{sources:?}");
        assert_eq!(
            backports(&sources, "bookworm").as_deref(),
            Some(
                "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\
                 Architectures: amd64 arm64\nSigned-By: /k.gpg\n"
            )
        );
    }

    #[test]
    fn a_key_written_into_the_source_is_kept_whole() {
        let text = "Types: deb\nURIs: file:/mirror\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n";
        let written = backports(&parse(text, true), "bookworm").expect("a mirror");
        assert!(written.ends_with("Signed-By: \n -----BEGIN\n .\n abc\n"), "{written}");
    }
}
