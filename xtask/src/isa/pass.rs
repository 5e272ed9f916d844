//! One pass of the hottest loop as it usually runs, and what it takes by a card's rates.
//!
//! A pass is a way from the loop's head back to it. Of all ways it is one with the most work in it, which is matrix
//! instructions, or in a text without any those blocks that have a good part of the loop's multiply-adds; and of these the
//! cheapest. So it leaves out what a jump may leave out: the rescaling of results, strays, edges. Two things it does not
//! leave out. A jump over nothing but a guarded load is not taken, since most invocations have something to load, and the
//! other way of an `if` and `else` is none. A loop inside is passed as often as its code says, or once where it doesn't.

use std::collections::BTreeSet;

use super::code::{Code, Fetch, Inst, Kind, Span};
use super::costs::{Cost, Costs};
use super::rates::Rates;

/// The part of a loop's multiply-adds with which a block is work.
const WORK: usize = 8;

/// Blocks of a pass and how often each is run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pass(pub(super) Vec<(usize, f64)>);

/// What a way has in it: more work is better, then fewer cycles.
#[derive(Debug, Clone, Default)]
struct Way {
    work: f64,
    cycles: f64,
    blocks: Vec<(usize, f64)>,
}

impl Way {
    fn times(mut self, trips: f64) -> Self {
        self.work *= trips;
        self.cycles *= trips;
        self.blocks.iter_mut().for_each(|(_, times)| *times *= trips);
        self
    }

    fn then(mut self, behind: &Self) -> Self {
        self.work += behind.work;
        self.cycles += behind.cycles;
        self.blocks.extend_from_slice(&behind.blocks);
        self
    }

    fn is_better(&self, other: &Self) -> bool {
        (self.work, other.cycles) > (other.work, self.cycles)
    }
}

/// Work and cycles of each block, by its place, and the loops.
struct Search<'a> {
    code: &'a Code,
    loops: Vec<Span>,
    weights: Vec<(f64, f64)>,
    next: Vec<Vec<usize>>,
}

/// The usual pass of a loop.
pub(super) fn of(code: &Code, span: Span, rates: &Rates) -> Option<Pass> {
    let search = Search::new(code, span, rates);
    search.around(span).map(|way| Pass(way.blocks))
}

impl<'a> Search<'a> {
    fn new(code: &'a Code, span: Span, rates: &Rates) -> Self {
        let counts = code.counts(span);
        let of = |kind| counts.get(&kind).copied().unwrap_or(0);
        let (kind, least) = match of(Kind::Matrix) {
            0 => (Kind::MultiplyAdd, of(Kind::MultiplyAdd).div_ceil(WORK)),
            _ => (Kind::Matrix, 1),
        };
        let weight = |at: usize| {
            let done = code.counts((at, at)).get(&kind).copied().unwrap_or(0);
            let mut tally = Tally::default();
            code.0[at].insts.iter().for_each(|inst| tally.add(inst, 1.0, rates));
            (if done >= least { done as f64 } else { 0.0 }, tally.serial())
        };
        let next = |at: usize| {
            let last = code.0[at].insts.last();
            let jump = last.and_then(|inst| inst.jump.as_deref()).and_then(|label| code.place(label));
            let on = last.is_none_or(|inst| !inst.ends).then_some(at + 1).filter(|to| *to < code.0.len());
            on.into_iter().chain(jump).collect()
        };
        let all = 0..code.0.len();
        Self {
            code,
            loops: code.loops(),
            weights: all.clone().map(weight).collect(),
            next: all.map(next).collect(),
        }
    }

    /// The widest loop inside another that begins at a block.
    fn inner(&self, (first, last): Span, at: usize) -> Option<Span> {
        self.loops.iter().copied().find(|(head, end)| *head == at && at > first && *end <= last)
    }

    /// The best way from a loop's head to a jump back to it. Blocks are looked at from the last to the first, so that of each
    /// the best way from there is known when it is asked for: within a loop that is entered at its head, what jumps
    /// back goes to a head, and those of inner loops are one with their loops.
    fn around(&self, span: Span) -> Option<Way> {
        let (first, last) = span;
        let mut best: Vec<Option<Way>> = vec![None; last + 2 - first];
        for at in (first..=last).rev() {
            let inner = self.inner(span, at);
            let (own, leaves) = match inner {
                Some(inner) => {
                    let Some(way) = self.around(inner) else { continue };
                    let leaves: BTreeSet<usize> =
                        (inner.0..=inner.1).flat_map(|block| self.next[block].iter().copied()).collect();
                    let trips = trips(self.code, inner).unwrap_or(1.0);
                    (
                        way.times(trips),
                        leaves.into_iter().filter(|to| !(inner.0..=inner.1).contains(to)).collect(),
                    )
                }
                None => {
                    let (work, cycles) = self.weights[at];
                    (Way { work, cycles, blocks: vec![(at, 1.0)] }, self.next[at].clone())
                }
            };
            let mut onward: Option<Way> = None;
            for to in &leaves {
                let behind = match to {
                    to if *to == first => Some(Way::default()),
                    to if *to > at && *to <= last && !self.leaves_out_loads(span, &leaves, *to) => {
                        best[to - first].clone()
                    }
                    _ => None,
                };
                let Some(behind) = behind else { continue };
                if onward.as_ref().is_none_or(|way| behind.is_better(way)) {
                    onward = Some(behind);
                }
            }
            best[at - first] = onward.map(|behind| own.then(&behind));
        }
        best.swap_remove(0)
    }

    /// Whether all other ways from a block come to this one, and one loads from memory before it does: a guard of loads.
    fn leaves_out_loads(&self, (first, last): Span, leaves: &[usize], to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut open: Vec<usize> = leaves.iter().copied().filter(|other| *other != to).collect();
        let mut loads = false;
        while let Some(at) = open.pop() {
            // What leaves the loop is no way of a pass; what comes to the head did not come by.
            if at == first {
                return false;
            }
            if at == to || !(first..=last).contains(&at) || !seen.insert(at) {
                continue;
            }
            loads |= self.code.0[at].insts.iter().any(|inst| inst.kinds.contains(&Kind::Memory));
            open.extend(&self.next[at]);
        }
        loads
    }
}

/// How often a loop runs, where its counter, its step and its end stand in the code as numbers.
fn trips(code: &Code, (first, last): Span) -> Option<f64> {
    let words = |inst: &Inst| -> Vec<String> {
        inst.text.split([' ', ',']).filter(|word| !word.is_empty()).map(Into::into).collect()
    };
    let begins = |words: &[String], name: &str| words.first().is_some_and(|word| word.starts_with(name));
    let number = |word: &str| -> Option<i64> {
        let (sign, digits) = word.strip_prefix('-').map_or((1, word), |digits| (-1, digits));
        let value = match digits.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        };
        Some(sign * value)
    };
    let inside: Vec<Vec<String>> = code.insts((first, last)).map(words).collect();
    let outside = |inst: &Inst| {
        inst.jump
            .as_deref()
            .and_then(|label| code.place(label))
            .is_some_and(|to| !(first..=last).contains(&to))
    };
    // The one block that leaves it, and what it compares last.
    let mut leaving =
        code.0.get(first..=last)?.iter().filter(|block| block.insts.last().is_some_and(outside));
    let (leaving, None) = (leaving.next()?, leaving.next()) else { return None };
    let test = leaving.insts.iter().rev().map(words).find(|words| begins(words, "s_cmp_"))?;
    let [op, counter, end] = test.as_slice() else { return None };
    let writes = |words: &&Vec<String>| words.get(1) == Some(counter) && !begins(words, "s_cmp");
    let mut writers = inside.iter().filter(writes);
    let (writer, None) = (writers.next()?, writers.next()) else { return None };
    let step = match (writer[0].as_str(), &writer[2..]) {
        ("s_add_i32" | "s_add_u32" | "s_add_co_i32" | "s_add_co_u32", [from, by]) if from == counter => {
            number(by)?
        }
        ("s_addk_i32" | "s_addk_co_i32", [by]) => number(by)?,
        _ => return None,
    };
    let before = code.0.get(..first)?.iter().rev().flat_map(|block| block.insts.iter().rev()).map(words);
    let begin = before.into_iter().find(|words| writes(&words))?;
    let begin = match (begin[0].as_str(), &begin[2..]) {
        ("s_mov_b32" | "s_movk_i32", [value]) => number(value)?,
        _ => return None,
    };
    let distance = number(end)?.checked_sub(begin)?;
    let ends = ["s_cmp_ge_", "s_cmp_eq_", "s_cmp_lg_", "s_cmp_lt_"].iter().any(|name| op.starts_with(name));
    (ends && step > 0 && distance > 0).then(|| (distance as f64 / step as f64).ceil())
}

/// Cycles and counts of a pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    /// Cycles, of a SIMD.
    matrix: f64,
    multiply_add: f64,
    issue: f64,
    local: f64,
    memory: f64,
    /// Products of 16 × 16 × 16, and instructions.
    pub(super) products: f64,
    pub(super) multiply_adds: f64,
    pub(super) vectors: f64,
    pub(super) locals: f64,
    /// Of those, with whole vectors.
    pub(super) locals128: f64,
    pub(super) memories: f64,
    pub(super) barriers: f64,
}

impl Tally {
    /// Cycles are those of 64 invocations, which is what a product of AMD's is by in every text; where a text has none, only how they
    /// compare matters, which is the same for any number. NVIDIA's have 32.
    fn add(&mut self, inst: &Inst, times: f64, rates: &Rates) {
        let wave = if rates.one_issue { 32.0 } else { 64.0 };
        // Two operations issued at once take one turn, one that is repeated takes several.
        let (turns, kinds) = match inst.text.contains(" :: ") {
            true => (times, &inst.kinds[..1]),
            false => (times, &inst.kinds[..]),
        };
        for kind in kinds {
            let plain = turns * wave / rates.lanes;
            match kind {
                Kind::Matrix => {
                    self.products += times * rates.products;
                    self.matrix += times * rates.products * rates.matrix.unwrap_or(0.0);
                    self.issue += if rates.beside { turns } else { 0.0 };
                }
                Kind::Transcendental => self.issue += turns * wave / rates.transcendental_lanes,
                kind if kind.is_vector() => self.issue += plain,
                _ => self.issue += if rates.one_issue { turns } else { 0.0 },
            }
            let bytes = times * wave * f64::from(inst.bytes);
            match kind {
                Kind::Local => {
                    self.locals += times;
                    self.locals128 += if inst.bytes >= 16 { times } else { 0.0 };
                    self.local += bytes / rates.local;
                }
                Kind::Memory | Kind::Scratch => {
                    self.memories += times;
                    self.memory += bytes / rates.memory;
                }
                Kind::Barrier => self.barriers += times,
                kind if kind.is_vector() => self.vectors += times,
                _ => {}
            }
        }
        let multiplies = inst.kinds.iter().filter(|kind| **kind == Kind::MultiplyAdd).count() as f64;
        self.multiply_adds += times * multiplies;
        self.multiply_add += times * multiplies * wave / rates.lanes;
    }

    /// Everything one after the other.
    fn serial(&self) -> f64 {
        self.matrix + self.issue + self.local + self.memory
    }

    /// The longest of what may run beside each other.
    fn overlapped(&self, rates: &Rates) -> f64 {
        let vector = if rates.beside { self.matrix.max(self.issue) } else { self.matrix + self.issue };
        vector.max(self.local).max(self.memory)
    }

    /// Whether products are most of what it does: matrices, or multiply-adds of which the loop is made.
    pub(super) fn is_of_products(&self) -> bool {
        self.products > 0.0 || 2.0 * self.multiply_adds > self.vectors
    }

    fn useful(&self) -> f64 {
        if self.products > 0.0 { self.matrix } else { self.multiply_add }
    }

    /// Shares of the useful cycles in per cent, of the longest and of the sum.
    pub(super) fn bounds(&self, rates: &Rates) -> (f64, f64) {
        let share = |cycles: f64| 100.0 * self.useful() / cycles;
        (share(self.overlapped(rates)), share(self.serial()))
    }
}

impl Pass {
    pub(super) fn tally(&self, code: &Code, rates: &Rates) -> Tally {
        let mut tally = Tally::default();
        for (at, times) in &self.0 {
            code.0[*at].insts.iter().for_each(|inst| tally.add(inst, *times, rates));
        }
        tally
    }

    /// How often it waits for what was asked for since the wait before; none where the driver's code doesn't say.
    pub(super) fn round_trips(&self, code: &Code) -> Option<usize> {
        let mut asked = false;
        let mut trips = None;
        // Twice around: what the pass before has asked for is waited for in this one.
        for turn in 0..2 {
            let mut waits = 0;
            for (at, _) in &self.0 {
                for fetch in code.0[*at].insts.iter().filter_map(|inst| inst.fetch) {
                    waits += usize::from(asked && fetch == Fetch::Waits);
                    asked = fetch == Fetch::Asks;
                    trips = trips.or(Some(0));
                }
            }
            trips = trips.map(|_| if turn == 1 { waits } else { 0 });
        }
        trips
    }
}

/// The columns of a text's usual pass.
pub(super) fn add_to(code: &Code, rates: &Rates, costs: &mut Costs) {
    let Some(pass) = code.hottest().and_then(|span| of(code, span, rates)) else { return };
    let tally = pass.tally(code, rates);
    let (overlap, serial) = tally.bounds(rates);
    if tally.useful() > 0.0 {
        costs.set(Cost::Overlap, overlap);
        costs.set(Cost::Serial, serial);
        pass.round_trips(code).into_iter().for_each(|trips| costs.count(Cost::RoundTrips, trips));
    }
}
