//! RADV, Mesa's driver for AMD: `shaderstats` prints statistics by name, `asm` the code as LLVM disassembles it.

use super::code::{Code, Fetch, Inst, Kind};
use super::costs::{Cost, Costs};
use super::marks::Dump;

const STATISTICS: [(&str, Cost); 8] = [
    ("VGPRs", Cost::Registers),
    ("Spilled VGPRs", Cost::Spilled),
    ("Spilled SGPRs", Cost::SpilledScalar),
    ("Scratch size", Cost::Scratch),
    ("LDS size", Cost::WorkgroupMemory),
    ("Subgroups per SIMD", Cost::Waves),
    ("Code size", Cost::CodeSize),
    ("Instructions", Cost::Instructions),
];

/// Lines of one text.
#[derive(Debug, Default)]
pub(super) struct Radv {
    costs: Costs,
    code: Code,
    width: Width,
    pending: Pending,
    /// The disassembler met what it doesn't know.
    unknown: bool,
}

impl Dump for Radv {
    fn line(&mut self, line: &str) {
        if line.starts_with("disasm:") {
            *self = Self::default();
        } else if let Some(label) = line.strip_suffix(':').filter(|label| label.starts_with("BB")) {
            self.code.label(label);
        } else if let Some((text, encoded)) = line.strip_prefix('\t').and_then(|line| line.split_once(';')) {
            // A literal may look like an instruction.
            if u32::from_str_radix(encoded.trim(), 16).is_ok_and(|word| self.rest(word)) {
                return;
            }
            self.pending = Pending::Nothing;
            self.width.see(text);
            self.code.push(inst(text.trim()));
        } else if let Some(encoded) = line.strip_prefix("(invalid instruction)") {
            self.unknown = true;
            self.unknown(encoded.trim_start_matches([' ', ';']));
        } else if let Some((name, value)) = line.split_once(": ") {
            let cost = STATISTICS.iter().find(|(known, _)| *known == name);
            if let (Some((_, cost)), Ok(value)) = (cost, value.trim().parse()) {
                self.costs.set(*cost, value);
            }
        }
    }

    fn take(&mut self) -> (Costs, Code) {
        let Self { mut costs, code, width, unknown, .. } = std::mem::take(self);
        if code.0.is_empty() {
            return (costs, code);
        }
        // Counted as if a wave had 32 invocations: one of 64 takes the registers of two.
        let waves = costs.get(Cost::Waves);
        costs.remove(Cost::Waves);
        if let (Some(width), Some(waves)) = (width.invocations(), waves) {
            costs.set(Cost::Wave, f64::from(width));
            costs.set(Cost::Waves, if width == 64 { waves / 2.0 } else { waves });
        }
        code.add_to(&mut costs);
        // Mesa 25 leaves constants of these unset, which differ from run to run, and with them the size.
        if unknown || costs.get(Cost::Matrix).is_some_and(|count| count > 0.0) {
            costs.remove(Cost::CodeSize);
        }
        (costs, code)
    }
}

impl Radv {
    /// LLVM before 16 doesn't know RDNA3's moves of 16 bits and shows their double words one by one.
    fn unknown(&mut self, encoded: &str) {
        let word = u32::from_str_radix(encoded.trim(), 16).unwrap_or(0);
        if self.rest(word) {
            return;
        }
        let short = word >> 25 == 0x3f && (word >> 9) & 0xff == 0x1c;
        let long = word >> 16 == 0xd59c;
        self.pending = match (short, long) {
            (true, _) if word & 0x1ff == LITERAL => Pending::Literal,
            (_, true) => Pending::Operands,
            _ => Pending::Nothing,
        };
        let (name, kind) = if short || long { ("v_mov_b16", Kind::Move) } else { ("unknown", Kind::Unknown) };
        self.code.push(Inst { text: format!("{name} {encoded}"), kinds: vec![kind], ..Inst::default() });
    }

    /// Whether a double word belongs to the instruction before.
    fn rest(&mut self, word: u32) -> bool {
        let rest = self.pending != Pending::Nothing;
        self.pending = match self.pending {
            Pending::Operands if word & 0x1ff == LITERAL => Pending::Literal,
            _ => Pending::Nothing,
        };
        rest
    }
}

/// The operand that stands for a double word behind the instruction.
const LITERAL: u32 = 0xff;

/// What is still to come of an instruction that the disassembler doesn't know.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    Operands,
    Literal,
}

/// How many invocations a wave has, by what the code names the mask of its invocations.
#[derive(Debug, Default)]
struct Width {
    whole: [bool; 2],
    low: [bool; 2],
}

impl Width {
    fn see(&mut self, text: &str) {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            match word {
                "exec" => self.whole[0] = true,
                "vcc" => self.whole[1] = true,
                "exec_lo" => self.low[0] = true,
                "vcc_lo" => self.low[1] = true,
                _ => {}
            }
        }
    }

    /// `exec` decides before `vcc`, which also serves as a register like others; where the code names neither, nothing does.
    fn invocations(&self) -> Option<u8> {
        (0..2).find_map(|of| match (self.whole[of], self.low[of]) {
            (true, _) => Some(64),
            (false, true) => Some(32),
            _ => None,
        })
    }
}

fn inst(text: &str) -> Inst {
    // Two operations issued at once.
    let kinds: Vec<Kind> = text.split(" :: ").map(|half| kind(op(half))).collect();
    let op = op(text);
    let jumps = op.starts_with("s_cbranch") || op == "s_branch";
    let jump = jumps.then(|| text.split_whitespace().nth(1)).flatten().map(Into::into);
    let ends = ["s_branch", "s_endpgm", "s_setpc_b64"].contains(&op);
    Inst { text: text.into(), kinds, bits: bits(op), bytes: bytes(op), jump, ends, fetch: fetch(text, op) }
}

/// Loads and what waits for them; stores are waited for elsewhere and by none.
fn fetch(text: &str, op: &str) -> Option<Fetch> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| op.starts_with(prefix));
    if starts(&["buffer_load", "global_load", "flat_load", "tbuffer_load"]) {
        Some(Fetch::Asks)
    } else if starts(&["s_wait_loadcnt"]) || op == "s_waitcnt" && text.contains("vmcnt") {
        Some(Fetch::Waits)
    } else {
        None
    }
}

/// Of an access; what is narrower than a register takes one all the same.
fn bytes(op: &str) -> u8 {
    let words = op.split('_').filter_map(|word| {
        if let Some(words) = word.strip_prefix("dwordx") {
            return words.parse::<u8>().ok().map(|words| words.saturating_mul(4));
        }
        let bits = word.strip_prefix(['b', 'u', 'i', 'f', 'd'])?.parse::<u16>().ok()?;
        u8::try_from(bits / 8).ok()
    });
    let one = words.fold(4, u8::max);
    if op.contains("2addr") || op.contains("read2") || op.contains("write2") {
        one.saturating_mul(2)
    } else {
        one
    }
}

fn op(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn bits(op: &str) -> Option<u8> {
    if op.ends_with("b128") || op.ends_with("dwordx4") {
        Some(128)
    } else if ["_u16", "_i16", "_b16", "_d16", "_short", "_ushort", "_sshort"]
        .iter()
        .any(|part| op.contains(part))
    {
        Some(16)
    } else {
        None
    }
}

fn kind(op: &str) -> Kind {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| op.starts_with(prefix));
    let bare =
        op.strip_prefix("v_dual_").or_else(|| op.strip_prefix("v_pk_")).or_else(|| op.strip_prefix("v_"));
    if let Some(bare) = bare {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| bare.starts_with(prefix));
        return match () {
            () if starts(&["wmma", "swmmac", "mfma"]) => Kind::Matrix,
            () if starts(&["fma", "mac_", "mad_f", "mad_mix", "dot2"]) => Kind::MultiplyAdd,
            () if starts(&["exp_", "log_", "rcp_", "rsq_", "sqrt_", "sin_", "cos_", "s_"]) => {
                Kind::Transcendental
            }
            () if starts(&["cmp"]) => Kind::Compare,
            () if starts(&["cndmask"]) => Kind::Select,
            () if starts(&["cvt"]) => Kind::Convert,
            () if starts(&["mov", "swap", "perm", "read", "write", "accvgpr", "pack_b32"]) => Kind::Move,
            () if starts(&["nop"]) => Kind::Wait,
            () if ["_f32", "_f16", "_f64"].iter().any(|part| bare.contains(part)) => Kind::Float,
            () => Kind::Integer,
        };
    }
    match () {
        () if starts(&["ds_"]) => Kind::Local,
        () if starts(&["scratch_"]) => Kind::Scratch,
        () if starts(&["buffer_gl", "global_inv", "global_wb"]) => Kind::Wait,
        () if starts(&["buffer_", "global_", "flat_", "tbuffer_"]) => Kind::Memory,
        // RDNA4 signals and waits apart.
        () if starts(&["s_barrier"]) && !op.ends_with("signal") => Kind::Barrier,
        () if starts(&["s_wait", "s_delay", "s_clause", "s_nop", "s_barrier", "s_sleep", "s_code_end"]) => {
            Kind::Wait
        }
        () if starts(&["s_"]) => Kind::Scalar,
        () => Kind::Unknown,
    }
}
