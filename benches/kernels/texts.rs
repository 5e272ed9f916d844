//! The ceilings' texts as they are compiled: for the bench that times them and for `kernels-tests/tests/ceilings.rs`,
//! which keeps them valid on machines that cannot run them.

use foveal::Caps;
use foveal::shader::{Composed, Const, Head, Source, compose};

macro_rules! file {
    ($name:literal) => {
        Source {
            path: concat!("benches/ceilings/", $name),
            text: include_str!(concat!("../ceilings/", $name)),
        }
    };
}

/// Copying memory.
pub(crate) const COPY: Source = file!("copy.wgsl");

/// Copies vectors, `steps` an invocation.
pub(crate) fn copy(caps: &Caps, wg_size: u32, steps: usize) -> Composed {
    compose(&head(&[], None, wg_size, &[("STEPS", steps)]), &[params(caps)], COPY)
}

/// Chains of f32 multiply-adds.
pub(crate) fn fma(caps: &Caps, wg_size: u32) -> Composed {
    compose(&head(&[], None, wg_size, &[]), &[params(caps)], file!("fma.wgsl"))
}

/// Products of cooperative matrices with sides of 8 or 16, f16 factors and f32 sums.
pub(crate) fn coop(caps: &Caps, wg_size: u32, size: u32) -> Composed {
    let shape = if size == 16 { file!("coop.16.wgsl") } else { file!("coop.8.wgsl") };
    let head = head(&["f16", "wgpu_cooperative_matrix"], Some("f16"), wg_size, &[]);
    compose(&head, &[params(caps), shape], file!("coop.wgsl"))
}

fn params(caps: &Caps) -> Source {
    match caps.immediate_bytes {
        0..4 => Source {
            path: "shaders/shared/params.uniform.wgsl",
            text: include_str!("../../shaders/shared/params.uniform.wgsl"),
        },
        _ => Source {
            path: "shaders/shared/params.immediate.wgsl",
            text: include_str!("../../shaders/shared/params.immediate.wgsl"),
        },
    }
}

fn head(
    enables: &[&'static str],
    elem: Option<&'static str>,
    wg_size: u32,
    more: &[(&'static str, usize)],
) -> Head {
    let more = more.iter().map(|&(name, value)| (name, Const::U32(value as u32)));
    let consts = std::iter::once(("WG_SIZE", Const::U32(wg_size))).chain(more).collect();
    let aliases = elem.map(|elem| ("Elem", elem)).into_iter().collect();
    Head { enables: enables.to_vec(), aliases, consts }
}
