//! Turnip, Mesa's driver for Adreno: `cs` prints the code of compute shaders with statistics below it.

use super::code::{Code, Inst, Kind};
use super::costs::{Cost, Costs};
use super::marks::Dump;

/// Lines of one text.
#[derive(Debug, Default)]
pub(super) struct Ir3 {
    costs: Costs,
    code: Code,
    within: bool,
}

impl Dump for Ir3 {
    fn line(&mut self, line: &str) {
        let line = line.strip_prefix("MESA: info: ").unwrap_or(line).trim();
        if line.starts_with("Native code") {
            self.code = Code::default();
            self.within = true;
        } else if let Some(told) = line.strip_prefix("; ").and_then(|line| Some(line.split_once(" prog ")?.1))
        {
            self.within = false;
            if let Some((_, told)) = told.split_once(": ") {
                told.split(", ").for_each(|part| self.statistic(part));
            }
        } else if let Some(bytes) = line.strip_prefix("shared_size: ").and_then(|text| text.parse().ok()) {
            self.costs.set(Cost::WorkgroupMemory, bytes);
        } else if self.within && !line.starts_with([';', '@']) {
            if let Some(label) = line.strip_suffix(':') {
                self.code.label(label);
            } else {
                self.code.0.is_empty().then(|| self.code.label(""));
                inst(line).into_iter().for_each(|inst| self.code.push(inst));
            }
        }
    }

    fn take(&mut self) -> (Costs, Code) {
        let Self { mut costs, code, .. } = std::mem::take(self);
        if costs.get(Cost::Instructions).is_some() {
            // Printed only where there is some.
            if costs.get(Cost::WorkgroupMemory).is_none() {
                costs.set(Cost::WorkgroupMemory, 0.0);
            }
            code.add_to(&mut costs);
        }
        (costs, code)
    }
}

impl Ir3 {
    fn statistic(&mut self, part: &str) {
        let Some((value, name)) = part.split_once(' ') else { return };
        let Ok(value) = value.parse::<f64>() else { return };
        match name {
            "instr" => self.costs.set(Cost::Instructions, value),
            "dwords" => self.costs.set(Cost::CodeSize, 4.0 * value),
            // Registers of four components.
            "full" => self.costs.set(Cost::Registers, 4.0 * value),
            "max_waves" => self.costs.set(Cost::Waves, value),
            "double_threadsize" => self.costs.set(Cost::Wave, if value > 0.0 { 128.0 } else { 64.0 }),
            _ => {}
        }
    }
}

/// `(sy)(rpt3)mad.f32 r1.x, r2.x, r3.x, (r)r4.x`
fn inst(line: &str) -> Option<Inst> {
    let mut rest = line;
    let mut repeated = 1;
    while let Some((flag, behind)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        if let Some(more) = flag.strip_prefix("rpt").and_then(|n| n.parse::<usize>().ok()) {
            repeated = 1 + more;
        }
        rest = behind.trim_start();
    }
    let op = rest.split_whitespace().next().filter(|op| op.starts_with(|c: char| c.is_ascii_lowercase()))?;
    let jumps = ["br", "jump", "braa", "brao", "brac", "bany", "ball", "getone", "shps"].contains(&op);
    let label = || rest.split('#').nth(1).map(|label| label.trim().to_owned());
    let kind = kind(op);
    let sixteen = op.split('.').any(|part| part.ends_with("16"));
    let four = op.split('.').any(|part| part == "4") || rest.contains("(xyzw)") || rest.ends_with(", 4");
    let moves = matches!(kind, Kind::Local | Kind::Memory);
    let bits = match (moves, sixteen, four) {
        (true, true, _) => Some(16),
        (true, false, true) => Some(128),
        _ => None,
    };
    let ends = ["jump", "end"].contains(&op.split('.').next().unwrap_or_default());
    let jump = jumps.then(label).flatten();
    Some(Inst { text: line.into(), kinds: vec![kind; repeated], bits, jump, ends, ..Inst::default() })
}

fn kind(op: &str) -> Kind {
    let stem = op.split('.').next().unwrap_or_default();
    match stem {
        "mad" => Kind::MultiplyAdd,
        // Of the special unit.
        "rcp" | "rsq" | "hrsq" | "sqrt" | "log2" | "exp2" | "hlog2" | "hexp2" | "sin" | "cos" => {
            Kind::Transcendental
        }
        "cmps" | "cmpv" => Kind::Compare,
        "sel" => Kind::Select,
        "cov" => Kind::Convert,
        "mov" | "movs" | "swz" | "gat" | "sct" | "mova" | "mova1" => Kind::Move,
        "ldl" | "stl" | "ldlw" | "stlw" => Kind::Local,
        "ldp" | "stp" => Kind::Scratch,
        "atomic" if op.ends_with(".l") => Kind::Local,
        "ldib" | "stib" | "ldg" | "stg" | "isam" | "sam" | "atomic" | "resinfo" => Kind::Memory,
        "ldc" | "stc" | "stsc" => Kind::Scalar,
        "bar" => Kind::Barrier,
        "nop" | "fence" | "sleep" => Kind::Wait,
        "br" | "jump" | "braa" | "brao" | "brac" | "bany" | "ball" | "getone" | "shps" | "shpe" | "end"
        | "predt" | "predf" | "prede" | "ret" | "call" => Kind::Scalar,
        _ if op.contains(".f") => Kind::Float,
        _ => Kind::Integer,
    }
}
