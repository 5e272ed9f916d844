//! What a kernel must say about itself to be dispatched. There is no default method: an incomplete kernel does not compile.

use crate::gpu::{Access, Caps};
use crate::shader::{Const, Head, Source};
use crate::{Dtype, Result, Shape};
use std::fmt::{Debug, Display};
use std::hash::{Hash, Hasher};

/// Element type of a kernel's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// The variant's storage type: f32, f16 or bf16.
    Elem,
    /// The variant's storage type of weights, which may be narrower.
    Weight,
    /// Always f32 (statistics, tables, losses).
    F32,
    /// Unsigned indices.
    U32,
}

/// One tensor of a kernel, in binding order.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// Name in shader, documentation and errors.
    pub name: &'static str,
    /// Sizes.
    pub shape: Shape,
    /// Element type.
    pub element: Element,
    /// Read, written, or both.
    pub access: Access,
}

impl Slot {
    /// A tensor of the storage type that is read.
    pub fn read(name: &'static str, shape: impl Into<Shape>) -> Self {
        Self { name, shape: shape.into(), element: Element::Elem, access: Access::Read }
    }

    /// A tensor of the storage type that is written.
    pub fn write(name: &'static str, shape: impl Into<Shape>) -> Self {
        Self { access: Access::Write, ..Self::read(name, shape) }
    }

    /// A tensor of the storage type that is changed in place.
    pub fn update(name: &'static str, shape: impl Into<Shape>) -> Self {
        Self { access: Access::ReadWrite, ..Self::read(name, shape) }
    }

    /// The same tensor, always f32.
    pub fn f32(self) -> Self {
        Self { element: Element::F32, ..self }
    }

    /// The same tensor, of indices.
    pub fn u32(self) -> Self {
        Self { element: Element::U32, ..self }
    }

    /// The same tensor, in the storage type of weights.
    pub fn weight(self) -> Self {
        Self { element: Element::Weight, ..self }
    }

    /// Storage type under a variant.
    pub fn dtype(&self, variant: &Variant) -> Dtype {
        match self.element {
            Element::Elem => variant.elem,
            Element::Weight => variant.weight,
            Element::F32 => Dtype::F32,
            Element::U32 => Dtype::U32,
        }
    }
}

/// A reason, for a reader: variants that differ in nothing else are the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Why(pub &'static str);

impl PartialEq for Why {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Why {}

impl Hash for Why {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// One way to compile a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Storage type of the kernel's `Elem` tensors.
    pub elem: Dtype,
    /// Storage type of its `Weight` tensors; that of the others where it has none.
    pub weight: Dtype,
    /// Constants of the head; `WG_SIZE` is always among them.
    pub consts: Vec<(&'static str, Const)>,
    /// Modules that complete the body.
    pub modules: Vec<Source>,
    /// How the work is shared out, by the last name of the module that says so; empty where there is one way only.
    pub way: &'static str,
    /// Why that is the way, for a reader.
    pub why: Why,
    /// Uses subgroup operations.
    pub subgroup: bool,
    /// Uses cooperative matrices.
    pub matrices: bool,
    /// Compiled with checked indices and divisions, where a driver makes better code of that: kernels are tested not to
    /// need the checks.
    pub checked: bool,
}

impl Variant {
    /// A variant with a workgroup size and no further choice.
    pub fn new(elem: Dtype, wg_size: u32) -> Self {
        let consts = vec![("WG_SIZE", Const::U32(wg_size))];
        let modules = Vec::new();
        Self {
            elem,
            weight: elem,
            consts,
            modules,
            way: "",
            why: Why(""),
            subgroup: false,
            matrices: false,
            checked: false,
        }
    }

    /// The same with another number of invocations in a workgroup.
    pub fn workgroup(mut self, size: u32) -> Self {
        self.consts.retain(|(name, _)| *name != "WG_SIZE");
        self.with("WG_SIZE", size as usize)
    }

    /// Stores weights in another type.
    pub fn weights(mut self, dtype: Dtype) -> Self {
        self.weight = dtype;
        self
    }

    /// Adds a number to the head.
    pub fn with(mut self, name: &'static str, value: usize) -> Self {
        self.consts.push((name, Const::U32(value as u32)));
        self
    }

    /// Adds a flag to the head.
    pub fn flag(mut self, name: &'static str, value: bool) -> Self {
        self.consts.push((name, Const::Bool(value)));
        self
    }

    /// Adds a module.
    pub fn module(mut self, source: Source) -> Self {
        self.modules.push(source);
        self
    }

    /// Adds the module that says how the work is shared out, and why that way.
    pub fn by(mut self, source: Source, why: &'static str) -> Self {
        self.way = source.name().rsplit('/').next().unwrap_or_default();
        self.because(why).module(source)
    }

    /// Why it is among the variants, where there are several of a storage type.
    pub fn because(mut self, why: &'static str) -> Self {
        self.why = Why(why);
        self
    }

    /// Value of a number in the head; 0 when it is not there.
    pub fn number(&self, name: &str) -> u32 {
        let found = self.consts.iter().find(|(n, _)| *n == name);
        match found {
            Some((_, Const::U32(v))) => *v,
            _ => 0,
        }
    }

    /// Short name: storage type, chosen modules, constants.
    pub fn name(&self) -> String {
        let modules = self.modules.iter().map(Source::name);
        let consts = self.consts.iter().map(|(n, v)| match v {
            Const::U32(v) => format!("{n}={v}"),
            Const::Bool(v) => format!("{n}={v}"),
        });
        let parts: Vec<String> = modules.map(str::to_owned).chain(consts).collect();
        let weight = if self.weight == self.elem { String::new() } else { format!("×{}", self.weight) };
        format!("{}{weight}({})", self.elem, parts.join(","))
    }

    /// The head under these capabilities.
    pub fn head(&self, caps: &Caps) -> Head {
        let mut enables = Vec::new();
        if self.matrices || [self.elem, self.weight].contains(&Dtype::F16) {
            enables.push("f16");
        }
        if self.subgroup && caps.subgroup_enable {
            enables.push("subgroups");
        }
        if self.matrices {
            enables.push("wgpu_cooperative_matrix");
        }
        let aliases = [("Elem", self.elem), ("WeightElem", self.weight)];
        let aliases = aliases.into_iter().filter_map(|(name, dtype)| Some((name, dtype.wgsl()?))).collect();
        Head { enables, aliases, consts: self.consts.clone() }
    }
}

/// Storage types of a kernel that takes `pack` elements at a time, f32 first. bf16 lies two in a word, so it needs
/// packs of two or four; f16 needs the device's `shader-f16`.
pub fn elems(caps: &Caps, pack: usize) -> Vec<Dtype> {
    let offered = [(Dtype::F32, true), (Dtype::F16, caps.f16), (Dtype::Bf16, pack.is_multiple_of(2))];
    offered.into_iter().filter_map(|(dtype, there)| there.then_some(dtype)).collect()
}

/// How to start a variant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Launch {
    /// Bytes of the shader's `Params`: 32-bit members only, at most 128 bytes.
    pub params: Vec<u8>,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
    /// How it may be dispatched in cuts, if so.
    pub cut: Option<Cut>,
}

/// How a launch may be dispatched in cuts: where the work is long, or the workgroups are more than a device takes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Axis along which long work is cut.
    pub axis: usize,
    /// Byte offset of the three `u32` parameters that hold the first workgroup of a cut along x, y and z.
    pub first_at: usize,
    /// Workgroups of a cut along any axis, where they shall be fewer than the device takes: tests cut small cases.
    pub most: u32,
}

impl Launch {
    /// From a plain struct of parameters.
    pub fn new<P: bytemuck::Pod>(params: &P, workgroups: [u32; 3]) -> Self {
        Self { params: bytemuck::bytes_of(params).to_vec(), workgroups, cut: None }
    }

    /// Allows cuts; see [`Cut`].
    pub fn in_cuts(mut self, axis: usize, first_at: usize) -> Self {
        self.cut = Some(Cut { axis, first_at, most: u32::MAX });
        self
    }
}

/// Work of one call, from which benches compute rates.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Floating-point operations; a multiply-add counts two.
    pub flops: f64,
    /// Bytes that must cross memory when every operand is touched once.
    pub bytes: f64,
}

/// A kernel together with its problem: sizes and options. This is what a dispatch needs; [`Verified`](super::Verified) is
/// what a proof needs beside it. Its `Display` is the name of a case and the filter that runs it again.
pub trait Kernel: Clone + Debug + Display + Send + Sync + 'static {
    /// The one name: shader file, host file, entry point, registry line.
    const STEM: &'static str;
    /// The body.
    const SHADER: Source;

    /// Refuses sizes and options that make no sense, by name.
    fn check(&self) -> Result<()>;
    /// Every tensor, in binding order.
    fn slots(&self) -> Vec<Slot>;
    /// Ways to compile it, best first for these capabilities; all are tested.
    fn variants(&self, caps: &Caps) -> Vec<Variant>;
    /// Parameters and grid of a variant.
    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch;
    /// Work of one call: by it long work is cut, and benches compute rates.
    fn work(&self) -> Work;
}
