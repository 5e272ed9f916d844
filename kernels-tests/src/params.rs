//! A kernel's parameters stand twice: in the shader, as `struct Params`, and in the host file, as a `#[repr(C)]` struct whose
//! name ends in `Params`. Sizes that agree do not show two members exchanged; names, types and offsets do.

use crate::tree::File;
use foveal::kernels::registry::{Entry, REGISTRY};

/// A member of 32 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `u32`, `i32` or `f32`; anything else is none that parameters may have.
    pub scalar: String,
    /// Where it lies, in bytes.
    pub offset: u32,
}

/// What a host file calls its parameters, and their members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostParams {
    /// Name of the struct.
    pub name: String,
    members: Vec<HostMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HostMember {
    name: String,
    scalar: String,
    /// Numbers of an array, one after the other.
    count: Option<usize>,
}

/// The structs of a file whose name ends in `Params`.
pub fn structs(file: &File) -> Vec<HostParams> {
    let code = file.code();
    let of = |(at, word): (usize, &str)| {
        let rest = &code[at + word.len()..];
        let (head, rest) = rest.split_once('{')?;
        let (body, _) = rest.split_once('}')?;
        let name = head.trim().to_owned();
        let members = body.split(",\n").filter_map(member).collect();
        name.ends_with("Params").then_some(HostParams { name, members })
    };
    code.match_indices("struct ").filter_map(of).collect()
}

/// `pub(super) first: [u32; 3]`.
fn member(text: &str) -> Option<HostMember> {
    let (name, of) = text.trim().trim_end_matches(',').split_once(": ")?;
    let name = name.rsplit(' ').next()?.to_owned();
    let array = of.strip_prefix('[').and_then(|of| of.strip_suffix(']')?.split_once("; "));
    let (scalar, count) = match array {
        Some((scalar, count)) => (scalar, Some(count.parse().ok()?)),
        None => (of, None),
    };
    Some(HostMember { name, scalar: scalar.to_owned(), count })
}

/// The structs that a kernel may hand over: its host file's own, or else those that its family shares.
pub fn of_kernel(files: &[File], entry: &Entry) -> Vec<HostParams> {
    let folder = format!("src/kernels/{}/", entry.family);
    let own = format!("{folder}{}.rs", entry.stem);
    let found: Vec<_> = files.iter().filter(|file| file.path == own).flat_map(structs).collect();
    if !found.is_empty() {
        return found;
    }
    let is_kernel = |name: &str| {
        REGISTRY.iter().any(|e| e.family == entry.family && name.strip_suffix(".rs") == Some(e.stem))
    };
    let is_shared = |file: &&File| match file.path.strip_prefix(&folder) {
        Some(name) => !is_kernel(name),
        None => file.path.strip_prefix("src/kernels/").is_some_and(|name| !name.contains('/')),
    };
    files.iter().filter(is_shared).flat_map(structs).collect()
}

impl HostParams {
    /// Where the shader's members are others, or in another order; `None` where they agree. An array of the host's is as
    /// many members of the shader's, whose names begin with the array's: `first: [u32; 3]` is `first_x`, `first_y`,
    /// `first_z`, `weights: [f32; 2]` is `weight_a`, `weight_b`.
    pub fn fault(&self, shader: &[Member]) -> Option<String> {
        let all = |member: &HostMember| vec![member.clone(); member.count.unwrap_or(1)];
        let host: Vec<_> = self.members.iter().flat_map(all).collect();
        if host.len() != shader.len() {
            let counts = format!("{} members in the shader, {} on the host", shader.len(), host.len());
            return Some(format!("`{}`: {counts}", self.name));
        }
        let mut offset = 0;
        for (host, shader) in host.iter().zip(shader) {
            let named = match host.count {
                None => host.name == shader.name,
                Some(_) => [&host.name[..], host.name.trim_end_matches('s')]
                    .iter()
                    .any(|name| shader.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'))),
            };
            if !named || host.scalar != shader.scalar || shader.offset != offset {
                return Some(format!(
                    "`{}`: {}: {} at byte {} in the shader, {}: {} at byte {offset} on the host",
                    self.name, shader.name, shader.scalar, shader.offset, host.name, host.scalar
                ));
            }
            offset += 4;
        }
        None
    }
}

/// Where no struct of the host's is the shader's.
pub fn fault(host: &[HostParams], shader: &[Member]) -> Option<String> {
    let faults: Vec<_> = host.iter().map(|host| host.fault(shader)).collect();
    if faults.contains(&None) {
        return None;
    }
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    Some(match faults.as_slice() {
        [] => "no struct of parameters in the host file".into(),
        faults => format!("parameters {}", faults.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use super::{Member, fault, structs};
    use crate::tree::File;

    const HOST: &str = "#[repr(C)]\n#[derive(Clone)]\npub(super) struct Params {\n    rows: u32,\n    // Why.\n    \
                        eps: f32,\n    weights: [f32; 2],\n    pub(super) first: [u32; 3],\n}\n\nstruct Other {\n    \
                        a: u32,\n}\n";

    fn shader(text: &str) -> Vec<Member> {
        let member = |(i, text): (usize, &str)| {
            let (name, scalar) = text.split_once(' ').unwrap();
            Member { name: name.into(), scalar: scalar.into(), offset: 4 * i as u32 }
        };
        text.split(", ").enumerate().map(member).collect()
    }

    #[test]
    fn members_have_to_agree_in_name_type_order_and_place() {
        let host = structs(&File::new("a.rs", HOST));
        assert_eq!(host.len(), 1, "{host:?}");
        let good = "rows u32, eps f32, weight_a f32, weight_b f32, first_x u32, first_y u32, first_z u32";
        assert_eq!(fault(&host, &shader(good)), None);
        for (part, by) in [
            ("rows u32, eps f32", "eps f32, rows u32"),
            ("rows u32", "cols u32"),
            ("rows u32", "rows i32"),
            (", first_z u32", ""),
            ("weight_b", "bias"),
            ("weight_b f32, first_x u32", "first_x u32, weight_b f32"),
        ] {
            assert!(good.contains(part));
            assert!(fault(&host, &shader(&good.replace(part, by))).is_some(), "{part} by {by}");
        }
        let mut moved = shader(good);
        moved[1].offset = 16;
        assert!(fault(&host, &moved).is_some_and(|fault| fault.contains("eps: f32 at byte 16")));
        assert!(fault(&[], &shader(good)).is_some_and(|fault| fault.contains("no struct")));
    }
}
