//! Sixteen digits that tell models and data sets apart, in files of scores and checkpoints.

/// FNV-1a in 64 bits: it tells apart what was mixed up, not what was forged.
#[derive(Debug, Clone)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: impl IntoIterator<Item = u8>) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// A number, such as how many values follow, so that no two lists run together.
    pub(super) fn number(&mut self, n: usize) -> &mut Self {
        self.bytes((n as u64).to_le_bytes());
        self
    }

    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        let text = text.as_ref();
        self.number(text.len()).bytes(text.iter().copied());
        self
    }

    pub(super) fn floats(&mut self, values: &[f32]) -> &mut Self {
        self.number(values.len());
        for value in values {
            // A value at a time: features are gigabytes.
            self.0 = (self.0 ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
            self.0 ^= self.0 >> 32;
        }
        self
    }

    /// Sixteen hexadecimal digits.
    pub(super) fn digits(&self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fill: impl Fn(&mut Digest)) -> String {
        let mut digest = Digest::new();
        fill(&mut digest);
        digest.digits()
    }

    #[test]
    fn what_differs_has_other_digits() {
        // The published value of FNV-1a for "a"; lengths aside, that is what texts are taken by.
        let a = of(|d| d.bytes(*b"a"));
        assert_eq!(a, "af63dc4c8601ec8c");
        let all = [
            of(|_| ()),
            of(|d| drop(d.text("ab").text("c").digits())),
            of(|d| drop(d.text("a").text("bc").digits())),
            of(|d| drop(d.floats(&[1.0, 2.0]).digits())),
            of(|d| drop(d.floats(&[2.0, 1.0]).digits())),
            of(|d| drop(d.floats(&[-1.0, 2.0]).digits())),
            of(|d| drop(d.floats(&[1.0]).floats(&[2.0]).digits())),
            of(|d| drop(d.floats(&[1.0, 2.0, 0.0]).digits())),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|d| d.len() == 16));
    }
}
