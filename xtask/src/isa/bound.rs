//! How long a text takes at least on a card, by what the bench case counts of work and what the card's makers publish.

use super::marks::{Run, Text};
use super::pass::{self, Tally};
use super::rates::Rates;

/// Seconds that each of these would take alone.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bound {
    /// All operations at the peak of the unit that they are written for.
    pub(super) peak: f64,
    /// The loop's mix of instructions, with what may overlap and one after the other; where the loop is made of the operations that
    /// the case counts.
    pub(super) overlapped: Option<f64>,
    pub(super) serial: Option<f64>,
    /// Everything across memory once; where the program tells bytes.
    pub(super) memory: Option<f64>,
}

impl Bound {
    pub(super) fn of(text: &Text, rates: &Rates) -> Option<Self> {
        let flops = text.work.flops?;
        let pass = text.code.hottest().and_then(|span| pass::of(&text.code, span, rates));
        let tally = pass.map(|pass| pass.tally(&text.code, rates));
        let matrices = tally.as_ref().is_some_and(|tally| tally.products > 0.0);
        let peak = flops / rates.peak(matrices);
        // A softmax's or a norm's operations are no multiply-adds, and a loop's share of those says nothing of them.
        let shares = tally.filter(Tally::is_of_products).map(|tally| tally.bounds(rates));
        Some(Self {
            peak,
            overlapped: shares.map(|(overlap, _)| 100.0 * peak / overlap),
            serial: shares.map(|(_, serial)| 100.0 * peak / serial),
            memory: text.work.bytes.map(|bytes| bytes / (rates.dram * 1e9)),
        })
    }

    /// The longest, and what it is.
    pub(super) fn longest(&self) -> (f64, &'static str) {
        let all = [
            (self.peak, "arithmetic"),
            (self.overlapped.unwrap_or(0.0), "the loop"),
            (self.memory.unwrap_or(0.0), "memory"),
        ];
        all.into_iter().fold((0.0, "nothing"), |most, one| if one.0 > most.0 { one } else { most })
    }
}

/// All texts of a run.
pub(super) fn shown(run: &Run, rates: &Rates) -> String {
    let mut shown = format!(
        "{}: {} SIMDs at {} GHz, {} GB/s. Microseconds at the least, of the bench case that each text is of; what binds; the share of \
         the peak that leaves; then what each would take alone.\n",
        rates.model, rates.simds, rates.clock, rates.dram
    );
    for text in run.texts.iter().filter(|text| text.row.error.is_none()) {
        let Some(bound) = Bound::of(text, rates) else { continue };
        let (kernel, case, variant) = text.row.key();
        let taken = if text.row.taken { "" } else { " (not taken)" };
        let (longest, what) = bound.longest();
        let alone = |name: &str, seconds: Option<f64>| {
            seconds.map(|seconds| format!(", {name} {:.1}", 1e6 * seconds)).unwrap_or_default()
        };
        shown += &format!(
            "{kernel} | {case} | {variant}{taken}\n    {:.1} by {what}, {:.0} %: arithmetic {:.1}{}{}{}\n",
            1e6 * longest,
            100.0 * bound.peak / longest,
            1e6 * bound.peak,
            alone("the loop", bound.overlapped),
            alone("serially", bound.serial),
            alone("memory", bound.memory)
        );
    }
    shown
}
