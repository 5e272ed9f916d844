//! What a compiler's record of a card says of a text: the share of its peak that the loop's instructions allow.

use std::collections::HashMap;

/// By kernel and variant, per cent of the peak.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Bounds(HashMap<(String, String), f64>);

impl Bounds {
    /// The record among `texts` of the card that the adapter names, `NAVI31` in `AMD Radeon RX 7900 XTX (RADV NAVI31)`; the first
    /// where a card has several. None where no record is of it.
    pub(crate) fn of<'a>(adapter: &str, texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        texts.into_iter().find(|text| names(adapter, text)).map(read)
    }

    pub(crate) fn percent(&self, kernel: &str, variant: &str) -> Option<f64> {
        self.0.get(&(kernel.to_owned(), variant.to_owned())).copied()
    }
}

/// Whether a record's card is a word of the adapter's name.
fn names(adapter: &str, text: &str) -> bool {
    let card = text.lines().find_map(|line| line.strip_prefix("# card: "));
    let card = card.and_then(|card| card.split([',', '-']).next()).unwrap_or_default();
    adapter.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.eq_ignore_ascii_case(card))
}

fn read(text: &str) -> Bounds {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let columns: Vec<_> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let (Some(kernel), Some(variant), Some(overlap)) =
        (column("kernel"), column("variant"), column("overlap%"))
    else {
        return Bounds::default();
    };
    let row = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        let percent = fields.get(overlap)?.parse().ok().filter(|percent| *percent > 0.0)?;
        Some((((*fields.get(kernel)?).to_owned(), (*fields.get(variant)?).to_owned()), percent))
    };
    Bounds(lines.filter_map(row).collect())
}
