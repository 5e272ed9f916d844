//! Turns of a picture by quarters, and mirrorings.

use super::boxes::Fields;

/// What is done to a picture before it is shown: x' = a·x + c·y and y' = b·x + d·y, of which one in each is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    a: i8,
    b: i8,
    c: i8,
    d: i8,
}

impl Default for Turn {
    fn default() -> Self {
        Self { a: 1, b: 0, c: 0, d: 1 }
    }
}

impl Turn {
    /// The turn of a header's matrix, whose scales are left out; none for what is no turn by quarters.
    pub(super) fn of_matrix(fields: &mut Fields) -> Option<Self> {
        let mut sign = || fields.i32().map(|v| v.signum() as i8);
        let (a, b, _, c, d) = (sign()?, sign()?, sign()?, sign()?, sign()?);
        let straight = b == 0 && c == 0 && a * d != 0;
        let swapped = a == 0 && d == 0 && b * c != 0;
        (straight || swapped).then_some(Self { a, b, c, d })
    }

    /// This turn, and then another.
    pub(super) fn then(self, other: Self) -> Self {
        Self {
            a: self.a * other.a + self.b * other.c,
            b: self.a * other.b + self.b * other.d,
            c: self.c * other.a + self.d * other.c,
            d: self.c * other.b + self.d * other.d,
        }
    }

    /// Width and height after the turn.
    pub(super) fn size(self, (width, height): (usize, usize)) -> (usize, usize) {
        if self.a == 0 { (height, width) } else { (width, height) }
    }

    /// Turns a picture of a size; `spare` is memory to work in.
    pub(super) fn apply(self, (width, height): (usize, usize), rgb: &mut Vec<u8>, spare: &mut Vec<u8>) {
        if self == Self::default() || width == 0 || height == 0 {
            return;
        }
        let (wide, _) = self.size((width, height));
        let place = |(x, y): (usize, usize)| {
            let turned = |of_x: i8, of_y: i8| match (of_x, of_y) {
                (1, _) => x,
                (-1, _) => width - 1 - x,
                (_, 1) => y,
                _ => height - 1 - y,
            };
            turned(self.b, self.d) * wide + turned(self.a, self.c)
        };
        spare.clear();
        spare.resize(rgb.len(), 0);
        for (y, row) in rgb.chunks_exact(width * 3).enumerate() {
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                let at = place((x, y)) * 3;
                if let Some(target) = spare.get_mut(at..at + 3) {
                    target.copy_from_slice(pixel);
                }
            }
        }
        std::mem::swap(rgb, spare);
    }
}
