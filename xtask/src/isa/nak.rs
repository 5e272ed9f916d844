//! NAK, the compiler of NVK, Mesa's driver for NVIDIA: `print` prints the text after every pass; the last one is the code.

use super::code::{Code, Inst, Kind};
use super::costs::{Cost, Costs};
use super::marks::Dump;

/// What heads the code as the last pass leaves it.
const LAST_PASS: &str = "NAK IR after calc_instr_deps:";

const STATISTICS: [(&str, Cost); 6] = [
    ("Instruction count", Cost::Instructions),
    ("Max warps/SM", Cost::Waves),
    ("Spills to mem", Cost::Spilled),
    // Predicates and uniform registers that move to vector registers.
    ("Spills to reg", Cost::SpilledScalar),
    ("Num GPRs", Cost::Registers),
    ("SLM size", Cost::Scratch),
];

/// Lines of one text.
#[derive(Debug, Default)]
pub(super) struct Nak {
    costs: Costs,
    code: Code,
    within: bool,
}

impl Dump for Nak {
    fn line(&mut self, line: &str) {
        if line == LAST_PASS {
            self.code = Code::default();
            self.within = true;
        } else if self.within && line.starts_with("block") {
            let label = line.split_whitespace().nth(2).unwrap_or_default();
            self.code.label(label);
        } else if self.within && line.starts_with("Stage:") {
            self.within = false;
        } else if self.within {
            if let Some(inst) = inst(line) {
                self.code.push(inst);
            }
        } else if let Some((name, value)) = line.split_once(": ") {
            let cost = STATISTICS.iter().find(|(known, _)| *known == name).map(|(_, cost)| *cost);
            let cost = cost.or((name == "shared_size").then_some(Cost::WorkgroupMemory));
            if let (Some(cost), Ok(value)) = (cost, value.trim().parse()) {
                self.costs.set(cost, value);
            }
        }
    }

    fn take(&mut self) -> (Costs, Code) {
        let Self { mut costs, code, .. } = std::mem::take(self);
        if costs.get(Cost::Instructions).is_some() {
            costs.set(Cost::Wave, 32.0);
            // Printed only where there is some.
            if costs.get(Cost::WorkgroupMemory).is_none() {
                costs.set(Cost::WorkgroupMemory, 0.0);
            }
            code.add_to(&mut costs);
        }
        (costs, code)
    }
}

/// `@!p0 r4 p1 = iadd3 r1 r2 // delay=2`
fn inst(line: &str) -> Option<Inst> {
    let text = line.split("//").next().unwrap_or_default().trim();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.starts_with('}') {
        return None;
    }
    let (to, rest) = text.split_once(" = ").unwrap_or(("", &text));
    let op = rest.split_whitespace().find(|word| !word.starts_with('@'))?;
    let uniform = to.split_whitespace().any(|word| word.starts_with("ur") || word.starts_with("up"));
    let kind = if uniform { Kind::Scalar } else { kind(op) };
    let jump = (op == "bra").then(|| rest.split_whitespace().last()).flatten().map(Into::into);
    let bits = match op.rsplit('.').next() {
        Some("b128") => Some(128),
        Some("u16" | "b16" | "s16" | "i16") => Some(16),
        _ => None,
    };
    // Four matrices of 8×8 are 16 bytes an invocation.
    let width = |word: &str| match word.strip_prefix(['b', 'x']).and_then(|n| n.parse::<u8>().ok()) {
        Some(n) if word.starts_with('x') => n.saturating_mul(4),
        Some(bits) => bits / 8,
        None => 4,
    };
    let bytes = op.rsplit('.').next().map_or(4, width).max(4);
    let ends = ["bra", "exit"].contains(&op) && !text.starts_with('@');
    Some(Inst { kinds: vec![kind], bits, bytes, jump, text, ends, ..Inst::default() })
}

fn kind(op: &str) -> Kind {
    let stem = op.split('.').next().unwrap_or_default();
    let memory = || match () {
        () if op.contains(".shared") => Kind::Local,
        () if op.contains(".local") => Kind::Scratch,
        () => Kind::Memory,
    };
    match stem {
        "hmma" | "imma" | "dmma" | "qmma" => Kind::Matrix,
        "ffma" | "hfma2" | "dfma" => Kind::MultiplyAdd,
        "mufu" => Kind::Transcendental,
        "isetp" | "fsetp" | "hsetp2" | "dsetp" | "plop3" | "psetp" => Kind::Compare,
        "sel" | "fsel" => Kind::Select,
        "f2f" | "f2fp" | "f2i" | "i2f" | "i2i" | "frnd" => Kind::Convert,
        "mov" | "prmt" | "movm" | "shfl" | "p2r" | "r2p" | "r2ur" | "s2r" | "cs2r" => Kind::Move,
        "ldsm" | "lds" | "sts" => Kind::Local,
        "ld" | "st" | "atom" | "red" => memory(),
        "ldc" => Kind::Scalar,
        "bar" => Kind::Barrier,
        "bra" | "exit" | "vote" | "redux" => Kind::Scalar,
        "nop" | "bclear" | "bssy" | "bsync" | "bmov" | "membar" | "warpsync" | "ccctl" | "depbar"
        | "break" => Kind::Wait,
        _ if stem.starts_with(['f', 'h', 'd']) => Kind::Float,
        _ => Kind::Integer,
    }
}
