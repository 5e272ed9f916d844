//! Honeykrisp, Mesa's driver for Apple: `shaderdb` prints a line of statistics, and no code.

use super::code::Code;
use super::costs::{Cost, Costs};
use super::marks::Dump;

/// Lines of one text.
#[derive(Debug, Default)]
pub(super) struct Agx {
    costs: Costs,
}

impl Dump for Agx {
    fn line(&mut self, line: &str) {
        let Some(told) = line.strip_prefix("CS shader: ") else { return };
        for part in told.split(", ") {
            let Some((value, name)) = part.split_once(' ') else { continue };
            let cost = match name {
                "instrs" => Cost::Instructions,
                "code size" => Cost::CodeSize,
                "gprs" => Cost::Registers,
                "scratch" => Cost::Scratch,
                // Of 1,024 that a core holds; a subgroup has 32.
                "threads" => Cost::Waves,
                "spills:fills" => Cost::Spilled,
                _ => continue,
            };
            let Ok(value) = value.split(':').next().unwrap_or_default().parse::<f64>() else { continue };
            self.costs.set(cost, if cost == Cost::Waves { value / 32.0 } else { value });
        }
        self.costs.set(Cost::Wave, 32.0);
    }

    fn take(&mut self) -> (Costs, Code) {
        (std::mem::take(&mut self.costs), Code::default())
    }
}
