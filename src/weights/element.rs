//! Element types in a weight file and their conversion to what the library computes with.

use std::fmt;

/// How a tensor's elements lie in a file, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileDtype {
    /// 64-bit float; loaded as f32.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit float with four bits of exponent and no infinity (`float8_e4m3fn`); loaded as f32.
    F8E4m3,
    /// 8-bit float with five bits of exponent (`float8_e5m2`); loaded as f32.
    F8E5m2,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer.
    U32,
    /// A type of the format that this library does not load, by its name in the file.
    Other(&'static str),
}

impl FileDtype {
    /// Bytes of one element; `None` for a type that is not loaded.
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::F64 | Self::I64 => Some(8),
            Self::F32 | Self::I32 | Self::U32 => Some(4),
            Self::F16 | Self::Bf16 => Some(2),
            Self::F8E4m3 | Self::F8E5m2 => Some(1),
            Self::Other(_) => None,
        }
    }

    /// The storage type of the library with the same bytes, where there is one.
    pub const fn storage(self) -> Option<crate::Dtype> {
        match self {
            Self::F32 => Some(crate::Dtype::F32),
            Self::F16 => Some(crate::Dtype::F16),
            Self::Bf16 => Some(crate::Dtype::Bf16),
            Self::U32 => Some(crate::Dtype::U32),
            Self::F64 | Self::F8E4m3 | Self::F8E5m2 | Self::I64 | Self::I32 | Self::Other(_) => None,
        }
    }

    /// True for the 8-bit floats, which most files store with a scale beside them.
    pub(super) const fn is_eight_bits(self) -> bool {
        matches!(self, Self::F8E4m3 | Self::F8E5m2)
    }
}

/// What the 256 numbers of `float8_e4m3fn` are: a sign, four bits of exponent that count from −7, three of fraction. The
/// largest exponent holds numbers too; only all bits set are NaN.
const E4M3: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut bits = 0;
    while bits < 256 {
        let (exponent, fraction) = (bits as u32 >> 3 & 15, bits as u32 & 7);
        let magnitude = if exponent == 0 {
            fraction as f32 / 512.0
        } else if exponent == 15 && fraction == 7 {
            f32::NAN
        } else {
            f32::from_bits((exponent + 120) << 23 | fraction << 20)
        };
        table[bits] = if bits >= 128 { -magnitude } else { magnitude };
        bits += 1;
    }
    table
};

impl From<safetensors::Dtype> for FileDtype {
    fn from(dtype: safetensors::Dtype) -> Self {
        use safetensors::Dtype as D;
        match dtype {
            D::F64 => Self::F64,
            D::F32 => Self::F32,
            D::F16 => Self::F16,
            D::BF16 => Self::Bf16,
            D::I64 => Self::I64,
            D::I32 => Self::I32,
            D::U32 => Self::U32,
            D::BOOL => Self::Other("BOOL"),
            D::U8 => Self::Other("U8"),
            D::I8 => Self::Other("I8"),
            D::I16 => Self::Other("I16"),
            D::U16 => Self::Other("U16"),
            D::U64 => Self::Other("U64"),
            D::F8_E4M3 => Self::F8E4m3,
            D::F8_E5M2 => Self::F8E5m2,
            D::F8_E8M0 => Self::Other("F8_E8M0"),
            D::F8_E4M3FNUZ => Self::Other("F8_E4M3FNUZ"),
            D::F8_E5M2FNUZ => Self::Other("F8_E5M2FNUZ"),
            D::F4 => Self::Other("F4"),
            D::F6_E2M3 => Self::Other("F6_E2M3"),
            D::F6_E3M2 => Self::Other("F6_E3M2"),
            D::C64 => Self::Other("C64"),
            _ => Self::Other("another type"),
        }
    }
}

impl fmt::Display for FileDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F8E4m3 => "F8_E4M3",
            Self::F8E5m2 => "F8_E5M2",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::U32 => "U32",
            Self::Other(name) => name,
        })
    }
}

/// Converts float elements to f32. The bytes need no alignment: the format does not promise any.
///
/// Fails with a reason when the type is not a float or a finite f64 does not fit f32.
pub(super) fn to_f32(dtype: FileDtype, bytes: &[u8]) -> Result<Vec<f32>, String> {
    Ok(match dtype {
        FileDtype::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        FileDtype::F16 => {
            bytes.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
        }
        FileDtype::Bf16 => {
            bytes.as_chunks::<2>().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()
        }
        FileDtype::F8E4m3 => {
            bytes.iter().map(|b| E4M3.get(usize::from(*b)).copied().unwrap_or(f32::NAN)).collect()
        }
        // The upper half of an f16.
        FileDtype::F8E5m2 => {
            bytes.iter().map(|b| half::f16::from_bits(u16::from(*b) << 8).to_f32()).collect()
        }
        FileDtype::F64 => {
            let mut out = Vec::with_capacity(bytes.len() / 8);
            for b in bytes.as_chunks::<8>().0 {
                let wide = f64::from_le_bytes(*b);
                let narrow = wide as f32;
                if wide.is_finite() && !narrow.is_finite() {
                    return Err(format!("element {} is {wide:e}, which does not fit f32", out.len()));
                }
                out.push(narrow);
            }
            out
        }
        other => return Err(format!("expected F32, F16, BF16, F64, F8_E4M3 or F8_E5M2, found {other}")),
    })
}

/// Converts integer elements to u32; a value outside its range is refused with its place.
pub(super) fn to_u32(dtype: FileDtype, bytes: &[u8]) -> Result<Vec<u32>, String> {
    fn narrow<T: Copy + fmt::Display + TryInto<u32>>(
        values: impl Iterator<Item = T>,
    ) -> Result<Vec<u32>, String> {
        let checked = |(i, v): (usize, T)| {
            v.try_into().map_err(|_| format!("element {i} is {v}, outside 0 ..= {}", u32::MAX))
        };
        values.enumerate().map(checked).collect()
    }
    match dtype {
        FileDtype::U32 => Ok(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()),
        FileDtype::I32 => narrow(bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b))),
        FileDtype::I64 => narrow(bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b))),
        other => Err(format!("expected I32, I64 or U32, found {other}")),
    }
}
