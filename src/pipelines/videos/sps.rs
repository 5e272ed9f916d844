//! What a sequence parameter set of H.264 says (ITU-T H.264, 7.3.2.1).

use super::colour::Colour;

/// The parts of it that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sps {
    profile: u8,
    /// 0 is grey, 1 has chroma halved in both directions, 2 in one, 3 in none.
    chroma: u32,
    /// Bits of a value, the larger of luma's and chroma's.
    bits: u32,
    interlaced: bool,
    /// In blocks of 16 pixels.
    blocks: (u32, u32),
    /// Size after cropping, in pixels.
    pub(super) size: (usize, usize),
    pub(super) colour: Option<Colour>,
    /// The range without a matrix: 16..=235 or all.
    pub(super) full: Option<bool>,
}

/// Bits of a parameter set, whose bytes 3 after two of 0 are no part of it.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn of(unit: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(unit.len());
        let mut zeros = 0;
        for byte in unit {
            if zeros >= 2 && *byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            bytes.push(*byte);
        }
        Self { bytes, at: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    fn flag(&mut self) -> Option<bool> {
        self.bit().map(|b| b == 1)
    }

    fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    /// An unsigned Exp-Golomb code.
    fn code(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }

    fn signed(&mut self) -> Option<i32> {
        let code = self.code()?;
        let half = code.div_ceil(2) as i32;
        Some(if code % 2 == 1 { half } else { -half })
    }
}

impl Sps {
    /// Reads a unit, its header included; `None` where it is cut off or states the impossible.
    pub(super) fn read(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::of(unit.get(1..)?);
        let profile = bits.number(8)? as u8;
        bits.number(16)?;
        bits.code()?;
        let (mut chroma, mut depth) = (1, 8);
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma = bits.code().filter(|c| *c <= 3)?;
            if chroma == 3 {
                bits.bit()?;
            }
            depth = 8 + bits.code()?.max(bits.code()?).min(6);
            bits.bit()?;
            if bits.flag()? {
                for list in 0..if chroma == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        skip_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.code()?;
        match bits.code()? {
            0 => {
                bits.code()?;
            }
            1 => {
                bits.bit()?;
                bits.signed()?;
                bits.signed()?;
                for _ in 0..bits.code().filter(|n| *n < 256)? {
                    bits.signed()?;
                }
            }
            _ => {}
        }
        bits.code()?;
        bits.bit()?;
        let (wide, high) = (bits.code()?.checked_add(1)?, bits.code()?.checked_add(1)?);
        let frames = bits.bit()?;
        if frames == 0 {
            bits.bit()?;
        }
        bits.bit()?;
        let high = high.checked_mul(2 - frames)?;
        let (mut across, mut down) = (0u32, 0u32);
        if bits.flag()? {
            let unit_across = if matches!(chroma, 1 | 2) { 2 } else { 1 };
            let unit_down = if chroma == 1 { 2 } else { 1 } * (2 - frames);
            across = bits.code()?.checked_add(bits.code()?)?.checked_mul(unit_across)?;
            down = bits.code()?.checked_add(bits.code()?)?.checked_mul(unit_down)?;
        }
        let pixels = |blocks: u32, cropped: u32| {
            blocks.checked_mul(16)?.checked_sub(cropped).filter(|n| *n > 0).map(|n| n as usize)
        };
        let size = (pixels(wide, across)?, pixels(high, down)?);
        // What follows may be cut off without harm.
        let (colour, full) = described(&mut bits).unwrap_or_default();
        let (interlaced, blocks) = (frames == 0, (wide, high));
        Some(Self { profile, chroma, bits: depth, interlaced, blocks, size, colour, full })
    }

    /// A picture without chroma.
    pub(super) fn is_grey(&self) -> bool {
        self.chroma == 0
    }

    /// Why the built-in decoder does not read it, if so.
    pub(super) fn unread(&self) -> Option<String> {
        let chroma = match self.chroma {
            2 => "4:2:2",
            3 => "4:4:4",
            _ => "",
        };
        let (wide, high) = (u64::from(self.blocks.0), u64::from(self.blocks.1));
        // The largest picture of level 5.2, and no side longer than the root of 8 times it.
        let large = wide * high > 36_864 || wide * wide > 8 * 36_864 || high * high > 8 * 36_864;
        if self.interlaced {
            Some("interlaced H.264".into())
        } else if self.bits != 8 {
            Some(format!("H.264 of {} bits", self.bits))
        } else if !chroma.is_empty() {
            Some(format!("H.264 with {chroma} chroma"))
        } else if !matches!(self.profile, 66 | 77 | 100) {
            Some(format!("H.264 of profile {}", self.profile))
        } else if large {
            Some(format!("H.264 of {} × {} pixels", self.size.0, self.size.1))
        } else {
            None
        }
    }
}

fn skip_list(bits: &mut Bits, length: usize) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..length {
        if next != 0 {
            next = last.wrapping_add(bits.signed()?).wrapping_add(256).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Matrix and range in the usability information (annex E).
fn described(bits: &mut Bits) -> Option<(Option<Colour>, Option<bool>)> {
    if !bits.flag()? {
        return None;
    }
    if bits.flag()? && bits.number(8)? == 255 {
        bits.number(32)?;
    }
    if bits.flag()? {
        bits.bit()?;
    }
    if !bits.flag()? {
        return None;
    }
    bits.number(3)?;
    let full = bits.flag()?;
    let colour = if bits.flag()? {
        bits.number(16)?;
        Some(Colour { matrix: bits.number(8)? as u16, full })
    } else {
        None
    };
    Some((colour, Some(full)))
}
