//! What one box or action is worth beside the true one.

use std::collections::HashMap;

/// Intersection over union of two boxes `[x1, y1, x2, y2]`, in 0..1, as of areas and not of pixels. 0 where
/// it cannot be told: areas of boxes with sides of 1e200 are infinite.
pub fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |[x1, y1, x2, y2]: [f64; 4]| (x2 - x1) * (y2 - y1);
    let sides = [a[2].min(b[2]) - a[0].max(b[0]), a[3].min(b[3]) - a[1].max(b[1])];
    let both = sides[0].max(0.0) * sides[1].max(0.0);
    let iou = both / (area(a) + area(b) - both);
    if iou.is_finite() { iou } else { 0.0 }
}

/// Whether two actions are the same but for letters' case and what is neither letter nor digit.
pub fn same_action(a: &str, b: &str) -> bool {
    tokens(a) == tokens(b)
}

/// Whether two actions share most words: F1 of their words, articles left out and repetitions counted, is at
/// least 0.75.
pub fn alike_action(a: &str, b: &str) -> bool {
    let words = |text: &str| {
        let mut words = tokens(text);
        words.retain(|word| !matches!(word.as_str(), "a" | "an" | "the"));
        words
    };
    let (a, b) = (words(a), words(b));
    let mut left = HashMap::<&str, usize>::new();
    for word in &a {
        *left.entry(word).or_default() += 1;
    }
    let mut common = 0;
    for word in &b {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    // 2c / (a + b) ≥ 3/4 in whole numbers: rounding would decide at exactly 0.75.
    common > 0 && 8 * common >= 3 * (a.len() + b.len())
}

/// Runs of a-z and 0-9 in the lower-case text.
fn tokens(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    lower.split(|c| !plain(c)).filter(|run| !run.is_empty()).map(str::to_owned).collect()
}
