//! Storage types. Arithmetic is always f32; these say how numbers lie in memory.

use std::fmt;

/// How an element is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// IEEE half precision; on a device only where the adapter has `shader-f16`.
    F16,
    /// bfloat16, two in a 32-bit word on the device; every adapter can read it.
    Bf16,
    /// 32-bit unsigned integer (indices).
    U32,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Name in WGSL, where the type exists there.
    pub const fn wgsl(self) -> Option<&'static str> {
        match self {
            Self::F32 => Some("f32"),
            Self::F16 => Some("f16"),
            Self::U32 => Some("u32"),
            Self::Bf16 => None,
        }
    }

    /// Rounds a value to this type and back, as storing it does.
    pub fn round(self, x: f64) -> f64 {
        match self {
            Self::F32 => f64::from(x as f32),
            // By way of f32, as a tensor is stored; `half`'s own `from_f64` drops the lower 32 bits of the mantissa first
            // and so takes what lies just above a tie for one.
            Self::F16 => f64::from(half::f16::from_f32(x as f32).to_f32()),
            Self::Bf16 => f64::from(half::bf16::from_f32(x as f32).to_f32()),
            Self::U32 => f64::from(x as u32),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::U32 => "u32",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Dtype;

    #[test]
    fn what_lies_beside_a_tie_is_none() {
        for (bits, expected) in [(0x3f80_7fff, 1.0), (0x3f80_8000, 1.0), (0x3f80_8001, 1.007_812_5)] {
            assert_eq!(Dtype::Bf16.round(f64::from(f32::from_bits(bits))), expected, "{bits:x}");
        }
        for (bits, expected) in [(0x3f80_0fff, 1.0), (0x3f80_1000, 1.0), (0x3f80_1001, 1.000_976_562_5)] {
            assert_eq!(Dtype::F16.round(f64::from(f32::from_bits(bits))), expected, "{bits:x}");
        }
    }
}
