//! Compiled code as basic blocks, its loops, and counts of instructions by kind.

use std::collections::BTreeMap;

use super::costs::{Cost, Costs};

/// What an instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Matrix,
    MultiplyAdd,
    Float,
    Transcendental,
    Integer,
    Compare,
    Select,
    Convert,
    Move,
    /// Workgroup memory.
    Local,
    /// Buffers.
    Memory,
    /// A register's place in memory, or a private array's.
    Scratch,
    /// What is computed, loaded and decided once for a subgroup.
    Scalar,
    Barrier,
    /// Waits, hints and what else computes nothing.
    Wait,
    /// What the driver's disassembler doesn't know.
    Unknown,
}

impl Kind {
    /// Whether it takes a turn of the vector units that matrices don't.
    pub(super) fn is_vector(self) -> bool {
        (Self::MultiplyAdd..=Self::Move).contains(&self)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::MultiplyAdd => "multiply-add",
            Self::Float => "float",
            Self::Transcendental => "transcendental",
            Self::Integer => "integer",
            Self::Compare => "compare",
            Self::Select => "select",
            Self::Convert => "convert",
            Self::Move => "move",
            Self::Local => "lds",
            Self::Memory => "memory",
            Self::Scratch => "scratch",
            Self::Scalar => "scalar",
            Self::Barrier => "barrier",
            Self::Wait => "wait",
            Self::Unknown => "unknown",
        }
    }
}

/// One line of code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inst {
    pub(super) text: String,
    /// What it does; several where the line issues two operations or repeats one.
    pub(super) kinds: Vec<Kind>,
    /// How many bits an invocation moves, of 16 and 128, which tell a scalar element and a whole vector.
    pub(super) bits: Option<u8>,
    /// How many bytes an invocation moves, or its register is wide.
    pub(super) bytes: u8,
    /// The label that it may go on at.
    pub(super) jump: Option<String>,
    /// Nothing goes on behind it.
    pub(super) ends: bool,
    /// What it has to do with values on their way from memory.
    pub(super) fetch: Option<Fetch>,
}

/// A load's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetch {
    Asks,
    Waits,
}

/// Code between a label or a jump and the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) label: String,
    pub(super) insts: Vec<Inst>,
}

/// Blocks in the order of the code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Code(pub(super) Vec<Block>);

/// Instructions by kind.
pub(super) type Counts = BTreeMap<Kind, usize>;

/// First and last block of a loop, both within.
pub(super) type Span = (usize, usize);

impl Code {
    pub(super) fn label(&mut self, label: &str) {
        self.0.push(Block { label: label.into(), insts: Vec::new() });
    }

    /// Adds an instruction; a jump ends its block.
    pub(super) fn push(&mut self, inst: Inst) {
        let jumped = self.0.last().and_then(|block| block.insts.last()).is_some_and(|i| i.jump.is_some());
        if jumped || self.0.is_empty() {
            self.label("");
        }
        if let Some(block) = self.0.last_mut() {
            block.insts.push(inst);
        }
    }

    pub(super) fn insts(&self, (first, last): Span) -> impl Iterator<Item = &Inst> {
        self.0.iter().take(last + 1).skip(first).flat_map(|block| &block.insts)
    }

    pub(super) fn counts(&self, span: Span) -> Counts {
        let mut counts = Counts::new();
        for kind in self.insts(span).flat_map(|inst| &inst.kinds) {
            *counts.entry(*kind).or_default() += 1;
        }
        counts
    }

    pub(super) fn all(&self) -> Span {
        (0, self.0.len().saturating_sub(1))
    }

    /// Loops by their jumps back, in the order of the code: one span a header.
    pub(super) fn loops(&self) -> Vec<Span> {
        let mut ends = BTreeMap::new();
        for (at, block) in self.0.iter().enumerate() {
            for label in block.insts.iter().filter_map(|inst| inst.jump.as_deref()) {
                if let Some(to) = self.place(label).filter(|to| *to <= at) {
                    ends.insert(to, at);
                }
            }
        }
        ends.into_iter().collect()
    }

    pub(super) fn place(&self, label: &str) -> Option<usize> {
        self.0.iter().position(|block| block.label == label)
    }

    /// The loop that does most of the work: from the one with the most matrix instructions (multiply-adds where the text
    /// has no matrix instruction) inward as long as an inner loop has more than half of them. A loop with a barrier is not
    /// left for one without: it is a tile's, and stages what the other multiplies.
    pub(super) fn hottest(&self) -> Option<Span> {
        let work = if self.counts(self.all()).contains_key(&Kind::Matrix) {
            Kind::Matrix
        } else {
            Kind::MultiplyAdd
        };
        let loops: Vec<(Span, usize)> = self
            .loops()
            .into_iter()
            .map(|span| (span, self.counts(span).get(&work).copied().unwrap_or(0)))
            .filter(|(_, done)| *done > 0)
            .collect();
        let inside = |a: Span, b: Span| a != b && b.0 <= a.0 && a.1 <= b.1;
        let outer = loops.iter().filter(|(span, _)| !loops.iter().any(|(other, _)| inside(*span, *other)));
        let mut at = *outer.max_by_key(|(span, done)| (*done, std::cmp::Reverse(*span)))?;
        loop {
            let barrier = |span: Span| self.counts(span).contains_key(&Kind::Barrier);
            let inner = loops.iter().filter(|(span, done)| {
                inside(*span, at.0) && 2 * done > at.1 && (barrier(*span) || !barrier(at.0))
            });
            // The widest of those first; a narrower one is looked at next.
            let Some(next) = inner.max_by_key(|((first, last), _)| (last - first, std::cmp::Reverse(*first)))
            else {
                return Some(at.0);
            };
            at = *next;
        }
    }

    /// Spans within a loop that a jump forward may leave out, none inside another: guards, rare paths, skipped tiles.
    pub(super) fn skippable(&self, (first, last): Span) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for at in first..=last {
            let jump = self.0[at].insts.last().and_then(|inst| inst.jump.as_deref());
            let Some(to) = jump.and_then(|label| self.place(label)) else { continue };
            let covered = spans.last().is_some_and(|(_, end)| at <= *end);
            if to > at + 1 && to <= last && !covered {
                spans.push((at + 1, to - 1));
            }
        }
        spans
    }

    /// Counts what the code shows.
    pub(super) fn add_to(&self, costs: &mut Costs) {
        let counts = self.counts(self.all());
        let of = |counts: &Counts, kind| counts.get(&kind).copied().unwrap_or(0);
        costs.count(Cost::Matrix, of(&counts, Kind::Matrix));
        costs.count(Cost::Barriers, of(&counts, Kind::Barrier));
        let moves = [
            (Cost::Local16, Kind::Local, 16),
            (Cost::Local128, Kind::Local, 128),
            (Cost::Memory16, Kind::Memory, 16),
            (Cost::Memory128, Kind::Memory, 128),
        ];
        for (cost, kind, bits) in moves {
            let moving =
                self.insts(self.all()).filter(|inst| inst.bits == Some(bits) && inst.kinds.contains(&kind));
            costs.count(cost, moving.count());
        }
        let Some(span) = self.hottest() else { return };
        let counts = self.counts(span);
        // Padding differs from run to run.
        costs.count(Cost::Loop, counts.values().sum::<usize>() - of(&counts, Kind::Wait));
        costs.count(Cost::LoopMatrix, of(&counts, Kind::Matrix));
        let vector = vector(&counts) as f64;
        let matrices = of(&counts, Kind::Matrix) as f64;
        if matrices > 0.0 {
            costs.set(Cost::VectorPerMatrix, vector / matrices);
            costs.set(Cost::LocalPerMatrix, of(&counts, Kind::Local) as f64 / matrices);
        } else if vector > 0.0 {
            costs.set(Cost::MultiplyAddShare, 100.0 * of(&counts, Kind::MultiplyAdd) as f64 / vector);
        }
    }
}

/// Vector instructions without those on matrices.
pub(super) fn vector(counts: &Counts) -> usize {
    counts.iter().filter(|(kind, _)| kind.is_vector()).map(|(_, count)| count).sum()
}
