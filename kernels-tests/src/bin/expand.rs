//! Prints a kernel's WGSL as the GPU gets it: `expand STEM [VARIANT]`.

use clap::Parser;
use foveal::kernels::Variant;
use foveal::kernels::registry::{AnyKernel, Entry, REGISTRY};
use foveal::{Caps, Context, ContextOptions};
use kernels_tests::synthetic;
use std::process::ExitCode;

/// Prints a kernel's WGSL as the GPU gets it; the names of its variants go to standard error.
#[derive(Parser)]
struct Args {
    /// Name of the kernel
    stem: String,
    /// Name of a variant, or a part that only one has; without it the best variant of the first case
    variant: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("expand: {message}");
            ExitCode::FAILURE
        }
    }
}

fn entry(stem: &str) -> Result<&'static Entry, String> {
    let found = REGISTRY.iter().find(|entry| entry.stem == stem);
    found.ok_or_else(|| {
        let stems: Vec<_> = REGISTRY.iter().map(|entry| entry.stem).collect();
        format!("no kernel is named `{stem}`; there are {}", stems.join(", "))
    })
}

fn run(args: &Args) -> Result<(), String> {
    let entry = entry(&args.stem)?;
    let caps = match foveal::block_on(Context::new(ContextOptions::default())) {
        Ok(context) => context.caps().clone(),
        Err(error) => {
            eprintln!("{error}; WebGPU's default limits are assumed");
            Caps::webgpu_default()
        }
    };
    let cases = synthetic::all_cases(entry);
    let (case, variant) = choose(&cases, &caps, args.variant.as_deref())?;
    eprintln!("// {}", caps.adapter);
    for name in synthetic::variants(&cases, std::slice::from_ref(&caps)).keys() {
        eprintln!("// {} {name}", if *name == variant.name() { '>' } else { ' ' });
    }
    print!("{}", case.composed(&caps, &variant).text());
    Ok(())
}

/// The variant asked for, and a case that has it.
fn choose<'a>(
    cases: &'a [Box<dyn AnyKernel>],
    caps: &Caps,
    wanted: Option<&str>,
) -> Result<(&'a dyn AnyKernel, Variant), String> {
    let Some(wanted) = wanted else {
        let best = cases.first().and_then(|case| Some((&**case, case.variants(caps).into_iter().next()?)));
        return best.ok_or_else(|| "its first case has no variant here".into());
    };
    let mut all = synthetic::variants(cases, std::slice::from_ref(caps));
    if let Some(found) = all.remove(wanted) {
        return Ok(found);
    }
    let names: Vec<_> = all.keys().cloned().collect();
    let near: Vec<_> = names.iter().filter(|name| name.contains(wanted)).collect();
    match near.as_slice() {
        [only] => all.remove(*only).ok_or_else(|| format!("no variant is named `{wanted}`")),
        [] => Err(format!("no variant is named `{wanted}`; there are\n  {}", names.join("\n  "))),
        many => {
            let many: Vec<_> = many.iter().map(|name| name.as_str()).collect();
            Err(format!("several variants have `{wanted}` in their names\n  {}", many.join("\n  ")))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]
mod tests {
    use super::{choose, entry};
    use foveal::Caps;
    use foveal::gpu::AdapterClass;
    use kernels_tests::synthetic;

    #[test]
    fn an_unknown_stem_is_told_the_known_ones() {
        let message = entry("sofmax").err().unwrap_or_default();
        assert!(message.contains("sofmax") && message.contains("softmax, "), "{message}");
    }

    #[test]
    fn variants_are_found_by_name_and_by_part() {
        let cases = synthetic::all_cases(entry("softmax").unwrap());
        let caps =
            Caps::webgpu_default().with(|caps| (caps.f16, caps.class) = (true, AdapterClass::Discrete));
        let best = choose(&cases, &caps, None).unwrap().1;
        assert_eq!(choose(&cases, &caps, Some(&best.name())).unwrap().1, best);
        let message = |wanted| choose(&cases, &caps, Some(wanted)).err().unwrap_or_default();
        assert!(message("warp").contains(&best.name()), "{}", message("warp"));
        assert!(message("f").contains("several variants have `f`"), "{}", message("f"));
    }
}
