//! How large the tables of a Vorbis stream would become.
//!
//! A codebook of two dozen bytes may state 131,072 vectors of 32 numbers, and a stream 256 codebooks: gigabytes from five
//! kilobytes. The decoder bounds each of them, so they are added up here before it is made.
//!
//! Source: Vorbis I specification, sections 3.2.1 and 4.2.4.

/// Most numbers in all codebooks together; libvorbis writes some ten thousand.
const MAX_NUMBERS: u64 = 1 << 22;

/// Bytes of the identification header, which stands in front of the setup header in a track's own data.
const IDENTIFICATION: usize = 30;

/// True when the codebooks of a Vorbis track ask for too much. Where the header breaks off or is malformed only what
/// stands before that counts: the decoder stops there too.
pub(super) fn too_large(track: &[u8]) -> bool {
    let setup = track.strip_prefix(b"\x01vorbis").and_then(|_| track.get(IDENTIFICATION..));
    let Some(books) = setup.and_then(|setup| setup.strip_prefix(b"\x05vorbis")) else { return false };
    let mut numbers = 0;
    // What is skipped costs nothing; what is stated is added before the rest of its book is looked at.
    let _ = walk(&mut Bits { bytes: books, at: 0 }, &mut numbers);
    numbers > MAX_NUMBERS
}

/// Adds up codebooks until one breaks off or it is enough.
fn walk(bits: &mut Bits<'_>, numbers: &mut u64) -> Option<()> {
    for _ in 0..=bits.take(8)? {
        (bits.take(24)? == 0x56_4342).then_some(())?;
        let (dimensions, entries) = (bits.take(16)?, bits.take(24)?);
        // A vector of numbers an entry, and its code word.
        *numbers += u64::from(entries) * (u64::from(dimensions) + 1);
        if *numbers > MAX_NUMBERS {
            return None;
        }
        lengths(bits, entries)?;
        let values = match bits.take(4)? {
            0 => continue,
            // The largest whole number whose power by the dimensions is no more than the entries.
            1 => (1..=entries).take_while(|v| power_within(*v, dimensions, entries)).last().unwrap_or(0),
            2 => entries.checked_mul(dimensions)?,
            _ => return None,
        };
        bits.skip(64)?;
        let width = bits.take(4)? as usize + 1;
        bits.skip(1 + width * values as usize)?;
    }
    Some(())
}

/// Passes over the lengths of a book's code words.
fn lengths(bits: &mut Bits<'_>, entries: u32) -> Option<()> {
    if bits.take(1)? == 0 {
        let sparse = bits.take(1)? == 1;
        for _ in 0..entries {
            if !sparse || bits.take(1)? == 1 {
                bits.skip(5)?;
            }
        }
        return Some(());
    }
    bits.skip(5)?;
    let mut left = entries;
    while left > 0 {
        left = left.checked_sub(bits.take(u32::BITS - left.leading_zeros())?)?;
    }
    Some(())
}

fn power_within(value: u32, exponent: u32, most: u32) -> bool {
    value == 1 || value.checked_pow(exponent).is_some_and(|power| power <= most)
}

/// Bits of a byte string, the lowest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next up to 24 bits as a number.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for i in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << i;
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A track's data with books of the given dimensions and entries: (value, bits), all code words of one length.
    fn track(books: usize, dimensions: u32, log_entries: u32) -> Vec<u8> {
        let entries = 1 << log_entries;
        let book = [
            (0x56_4342, 24),
            (dimensions, 16),
            (entries, 24),
            (1, 1),
            (log_entries - 1, 5),
            (entries, log_entries + 1),
            (1, 4),
            (0, 32),
            (0, 32),
            (0, 4),
            (0, 1),
            // One bit for each of the values along a dimension.
            (0, (f64::from(entries).powf(1.0 / f64::from(dimensions)) + 1e-9) as u32),
        ];
        let fields = std::iter::once((books as u32 - 1, 8)).chain((0..books).flat_map(|_| book));
        let bits: Vec<u8> = fields
            .flat_map(|(value, n)| (0..n).map(move |i| if i < 32 { (value >> i & 1) as u8 } else { 0 }))
            .collect();
        let bytes =
            bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |all, (i, bit)| all | bit << i));
        let mut data = b"\x01vorbis".to_vec();
        data.resize(IDENTIFICATION, 0);
        data.extend(b"\x05vorbis");
        data.extend(bytes);
        data
    }

    #[test]
    fn codebooks_are_added_up() {
        assert!(!too_large(&track(256, 4, 8)));
        assert!(too_large(&track(256, 32, 17)));
        // One such book is fine and the next is too much; the walk keeps its place from one to the next.
        assert!(!too_large(&track(2, 15, 17)));
        assert!(too_large(&track(3, 15, 17)));
        assert!(!too_large(b"") && !too_large(b"\x01vorbis") && !too_large(&[0; 99]));
        let whole = track(3, 15, 17);
        assert!((0..whole.len() - 40).all(|cut| !too_large(&whole[..cut])));
    }
}
