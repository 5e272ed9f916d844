//! What is told of one text: what a compiler's statistics and code give, by columns that every record has.

use std::collections::BTreeMap;

/// A column of a record. A driver that doesn't tell it leaves it empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    Registers,
    Spilled,
    SpilledScalar,
    Scratch,
    WorkgroupMemory,
    Wave,
    Waves,
    CodeSize,
    Instructions,
    Matrix,
    Local16,
    Local128,
    Memory16,
    Memory128,
    Barriers,
    Loop,
    LoopMatrix,
    VectorPerMatrix,
    LocalPerMatrix,
    MultiplyAddShare,
    Overlap,
    Serial,
    RoundTrips,
}

impl Cost {
    /// All of them with their names, in the order of a record's columns.
    pub(super) const ALL: [(Self, &'static str); 23] = [
        (Self::Registers, "registers"),
        (Self::Spilled, "spilled"),
        (Self::SpilledScalar, "spilled_scalar"),
        (Self::Scratch, "scratch"),
        (Self::WorkgroupMemory, "lds"),
        (Self::Wave, "wave"),
        (Self::Waves, "waves"),
        (Self::CodeSize, "code_bytes"),
        (Self::Instructions, "instructions"),
        (Self::Matrix, "matrix"),
        (Self::Local16, "lds16"),
        (Self::Local128, "lds128"),
        (Self::Memory16, "memory16"),
        (Self::Memory128, "memory128"),
        (Self::Barriers, "barriers"),
        (Self::Loop, "loop"),
        (Self::LoopMatrix, "loop_matrix"),
        (Self::VectorPerMatrix, "vector/matrix"),
        (Self::LocalPerMatrix, "lds/matrix"),
        (Self::MultiplyAddShare, "fma%"),
        (Self::Overlap, "overlap%"),
        (Self::Serial, "serial%"),
        (Self::RoundTrips, "round_trips"),
    ];

    /// Whether a change of it fails a comparison, and in which direction it is for the worse.
    pub(super) fn gate(self) -> Option<Worse> {
        match self {
            Self::Spilled | Self::SpilledScalar | Self::Scratch | Self::RoundTrips => Some(Worse::More),
            Self::Waves | Self::Matrix => Some(Worse::Fewer),
            Self::Overlap | Self::Serial => Some(Worse::LessBy(0.05)),
            _ => None,
        }
    }

    /// Whether it is of the usual pass: what a text without such a loop doesn't have, nor a record of before.
    pub(super) fn is_of_pass(self) -> bool {
        matches!(self, Self::Overlap | Self::Serial | Self::RoundTrips)
    }
}

/// A direction for the worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Worse {
    More,
    Fewer,
    /// By more than this part of it, and by more than one.
    LessBy(f64),
}

impl Worse {
    pub(super) fn is(self, old: f64, new: f64) -> bool {
        match self {
            Self::More => new > old,
            Self::Fewer => new < old,
            Self::LessBy(part) => new < old * (1.0 - part) && new < old - 1.0,
        }
    }

    /// The same in the other direction.
    pub(super) fn is_better(self, old: f64, new: f64) -> bool {
        match self {
            Self::More => new < old,
            Self::Fewer => new > old,
            Self::LessBy(part) => new > old * (1.0 + part) && new > old + 1.0,
        }
    }
}

/// What is known of a text's costs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Costs(BTreeMap<Cost, f64>);

impl Costs {
    pub(super) fn get(&self, cost: Cost) -> Option<f64> {
        self.0.get(&cost).copied()
    }

    /// Keeps one decimal, which is what a record holds.
    pub(super) fn set(&mut self, cost: Cost, value: f64) {
        self.0.insert(cost, (value * 10.0).round() / 10.0);
    }

    pub(super) fn count(&mut self, cost: Cost, value: usize) {
        // Counts of instructions and bytes are far below 2^53.
        self.set(cost, value as f64);
    }

    pub(super) fn remove(&mut self, cost: Cost) {
        self.0.remove(&cost);
    }

    /// As a record shows it: `-` where the driver doesn't tell.
    pub(super) fn shown(&self, cost: Cost) -> String {
        self.get(cost).map_or_else(|| "-".into(), |value| value.to_string())
    }

    /// Those that are known, with their names.
    pub(super) fn known(&self) -> String {
        let known = Cost::ALL.iter().filter(|(cost, _)| self.get(*cost).is_some());
        known.map(|(cost, name)| format!("{name} {}", self.shown(*cost))).collect::<Vec<_>>().join(", ")
    }
}
