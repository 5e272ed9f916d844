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
            Self::F64 | Self::I64 | Self::I32 | Self::Other(_) => None,
        }
    }
}

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
            D::F8_E4M3 => Self::Other("F8_E4M3"),
            D::F8_E5M2 => Self::Other("F8_E5M2"),
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
        other => return Err(format!("expected F32, F16, BF16 or F64, found {other}")),
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
