//! Units of H.264 as files hold them: a length before each one, parameter sets apart.

use super::boxes::Fields;
use super::sps::Sps;

const START: [u8; 4] = [0, 0, 0, 1];

/// Kinds of units (ITU-T H.264, table 7-1).
const SLICE: u8 = 1;
const KEY_SLICE: u8 = 5;
const SEQUENCE: u8 = 7;
const PICTURE: u8 = 8;

/// The box `avcC`.
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// Bytes of a length.
    length: usize,
    /// Parameter sets, each behind a start code.
    sets: Vec<u8>,
    sps: Option<Vec<u8>>,
}

impl Config {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        fields.take(4)?;
        let length = usize::from(fields.u8()? & 3) + 1;
        let (mut sets, mut sps) = (Vec::new(), None);
        for mask in [0x1f, 0xff] {
            for _ in 0..fields.u8()? & mask {
                let size = usize::from(fields.u16()?);
                let unit = fields.take(size)?;
                sets.extend(START);
                sets.extend(unit);
                if mask == 0x1f {
                    sps.get_or_insert_with(|| unit.to_vec());
                }
            }
        }
        Some(Self { length, sets, sps })
    }

    /// What the sets or, without such, a sample say of the pictures.
    pub(super) fn sps(&self, sample: &[u8]) -> Option<Sps> {
        let within = || self.units(sample).find(|unit| kind(unit) == SEQUENCE);
        Sps::read(self.sps.as_deref().or_else(within)?)
    }

    fn units<'a>(&self, sample: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (mut rest, length) = (Fields(sample), self.length);
        std::iter::from_fn(move || {
            let size = rest.take(length)?.iter().fold(0usize, |size, byte| size << 8 | usize::from(*byte));
            // A unit that is cut off is left to the decoder to judge.
            let size = size.min(rest.0.len());
            rest.take(size)
        })
        .filter(|unit| !unit.is_empty())
    }

    /// Nothing that comes after this sample needs what came before it.
    pub(super) fn is_key(&self, sample: &[u8]) -> bool {
        self.units(sample).any(|unit| kind(unit) == KEY_SLICE)
    }

    /// What the decoder is given of a sample: slices and parameter sets, behind start codes.
    pub(super) fn stream(&self, sample: &[u8], into: &mut Vec<u8>) {
        into.clear();
        if self.is_key(sample) {
            into.extend(&self.sets);
        }
        for unit in self.units(sample) {
            if matches!(kind(unit), SLICE..=KEY_SLICE | SEQUENCE | PICTURE) {
                into.extend(START);
                into.extend(unit);
            }
        }
    }
}

fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |head| head & 0x1f)
}
