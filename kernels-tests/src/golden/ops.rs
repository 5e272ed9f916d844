//! Which operations the library answers golden cases with.

mod bert;
mod dash;
mod knowshow;
mod qwenvl;
mod sampling;
mod tempo;
mod umt5;
mod wan;

use super::{Case, Library, Op};
use foveal::kernels::temporal::{TemporalObjective, TemporalWeights};
use foveal::{HostTensor, Result, Tensor};

/// What this library has and has not.
pub const LIBRARY: Library = Library { ops: OPS, not_built: NOT_BUILT };

/// How operations begin that belong to systems without an implementation here: their cases are skipped.
pub const NOT_BUILT: &[&str] = &["avatar.", "wan.vae_"];

/// Every operation with an implementation.
pub const OPS: &[Op] = &[
    Op { name: "bert.encode", optional: &[], run: bert::encode },
    Op { name: "dash.forward", optional: &[], run: dash::forward_pass },
    Op { name: "dash.loss", optional: &[], run: dash::losses },
    Op { name: "dash.metrics", optional: &[], run: dash::measures },
    Op { name: "knowshow.eval", optional: &[], run: knowshow::eval },
    Op { name: "qwenvl.forward", optional: &[], run: qwenvl::forward },
    Op { name: "qwenvl.select", optional: &[], run: qwenvl::select },
    Op { name: "umt5.encode", optional: &[], run: umt5::encode },
    Op { name: "wan.dit", optional: &[], run: wan::dit },
    Op { name: "wan.dit_grad", optional: &[], run: wan::dit_grad },
    Op { name: "wan.diffusers_dit", optional: &[], run: wan::diffusers_dit },
    Op { name: "wan.unipc", optional: &[], run: sampling::unipc },
    Op { name: "tempo.guided_sample", optional: &[], run: sampling::guided_sample },
    Op { name: "tempo.loss", optional: &[], run: tempo::loss },
    Op { name: "tempo.audio_mask", optional: &[], run: tempo::audio_mask_of },
];

/// Downloads a tensor.
fn host(tensor: &Tensor) -> Result<HostTensor> {
    foveal::block_on(tensor.to_host())
}

/// The released objective with a case's weights and threshold.
fn objective(case: &Case) -> Result<TemporalObjective> {
    let number = |path: &str| Ok::<_, foveal::Error>(case.f64(path)? as f32);
    let released = TemporalObjective::released();
    let weights = TemporalWeights {
        correlation: number("weights.pearson")?,
        magnitude: number("weights.magnitude")?,
        entropy: number("weights.entropy")?,
        ..released.weights
    };
    Ok(TemporalObjective { weights, tau: number("tau")?, ..released })
}
