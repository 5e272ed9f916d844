//! What kernels take on each family of cores: one small table, with what chose each row.

use crate::gpu::{AdapterClass, Caps, Cores};

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choices {
    /// Rows of a tile of attention that an invocation owns where operands pass through workgroup memory: 4 or 2.
    pub rows: u32,
    /// Workgroups that run at once. Where a product or attention has fewer, its inner size or its keys are cut into parts.
    pub workgroups: usize,
    /// Whether the gradient by keys has their values in workgroup memory, where it multiplies by matrices.
    pub values_shown: bool,
    /// What chose them.
    pub why: &'static str,
}

impl Choices {
    /// The row of a device.
    pub fn of(caps: &Caps) -> Self {
        let integrated = caps.class == AdapterClass::Integrated;
        let (rows, workgroups, why) = match caps.cores {
            Cores::Cpu => (4, 1, "a CPU has no cores that parts could fill; its rows are a register's lanes"),
            Cores::Nvidia => (
                4,
                256,
                "82 to 144 multiprocessors with two to three workgroups of 128 (GA102: 8 and 12 warps)",
            ),
            Cores::Rdna if integrated => {
                (4, 32, "12 to 16 compute units, of which each pair holds four workgroups of 256")
            }
            Cores::Rdna => {
                (4, 192, "96 compute units, of which each pair holds four workgroups of 256 at 192 registers")
            }
            Cores::Gcn => (4, 128, "64 compute units with two workgroups of 256"),
            Cores::Intel if integrated => (4, 32, "up to 8 Xe cores with four workgroups"),
            Cores::Intel => (4, 128, "20 to 32 Xe cores with four workgroups"),
            Cores::Apple => (
                2,
                64,
                "127 registers of 32 bits: at heads of 128 an invocation with four rows spills (M1: up to 269 of 16 bits), \
                 with two, and its two results one after the other, none; 8 to 80 cores",
            ),
            Cores::Adreno => (4, 32, "a dozen shader processors"),
            Cores::Other if integrated => (4, 64, "unknown: a middling one that shares its memory"),
            Cores::Other => {
                (4, 256, "unknown: a large one, since parts that are too many cost less than cores that idle")
            }
        };
        // The rest hold them in registers: RDNA has as many waves either way, or fewer.
        let values_shown = caps.cores == Cores::Nvidia;
        Self { rows, workgroups, values_shown, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_what_chose_it_and_a_cpu_cuts_nothing() {
        let all = [
            Cores::Cpu,
            Cores::Nvidia,
            Cores::Rdna,
            Cores::Gcn,
            Cores::Intel,
            Cores::Apple,
            Cores::Adreno,
            Cores::Other,
        ];
        for cores in all {
            for class in [AdapterClass::Discrete, AdapterClass::Integrated] {
                let choices = Choices::of(&Caps { cores, class, ..Caps::webgpu_default() });
                assert!([2, 4].contains(&choices.rows) && choices.workgroups >= 1 && !choices.why.is_empty());
                assert_eq!(choices.workgroups == 1, cores == Cores::Cpu);
            }
        }
    }
}
