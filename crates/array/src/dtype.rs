//! Element types.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "gpu")]
use burn_backend::{BoolStore, DType as BurnDType};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The type of an [`Array`](crate::Array)'s elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 64-bit float: solvers, statistics, linear algebra.
    F64,
    /// 32-bit float: networks.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// 16-bit brain float.
    BF16,
    /// 64-bit signed integer: indices.
    I64,
    /// 32-bit signed integer.
    I32,
    /// Byte.
    U8,
    /// Truth value.
    Bool,
}

impl DType {
    /// Every dtype.
    pub const ALL: [DType; 8] =
        [Self::F64, Self::F32, Self::F16, Self::BF16, Self::I64, Self::I32, Self::U8, Self::Bool];

    /// Whether elements are floating point, hence differentiable.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// Whether elements are integers (not truth values).
    pub const fn is_int(self) -> bool {
        matches!(self, Self::I64 | Self::I32 | Self::U8)
    }

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::U8 | Self::Bool => 1,
        }
    }

    /// The name used in files and messages: `f32`, `i64`, `bool`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }

    #[cfg(feature = "gpu")]
    pub(crate) const fn to_burn(self) -> BurnDType {
        match self {
            Self::F64 => BurnDType::F64,
            Self::F32 => BurnDType::F32,
            Self::F16 => BurnDType::F16,
            Self::BF16 => BurnDType::BF16,
            Self::I64 => BurnDType::I64,
            Self::I32 => BurnDType::I32,
            Self::U8 => BurnDType::U8,
            Self::Bool => BurnDType::Bool(BoolStore::Native),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A dtype's name was not recognised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown dtype `{0}`; expected one of f64, f32, f16, bf16, i64, i32, u8, bool")]
pub struct UnknownDType(String);

impl FromStr for DType {
    type Err = UnknownDType;
    fn from_str(name: &str) -> Result<Self, UnknownDType> {
        Self::ALL
            .into_iter()
            .find(|d| d.name() == name)
            .ok_or_else(|| UnknownDType(name.to_string()))
    }
}

/// A Rust type that can be an array's element.
pub trait Element: Copy + Send + Sync + 'static {
    /// The matching dtype.
    const DTYPE: DType;
    /// How the element lies in memory: itself, but for `bool`, which is a byte.
    type Raw: bytemuck::Pod + Send + Sync;
    /// To the memory form.
    fn to_raw(self) -> Self::Raw;
    /// From the memory form.
    fn from_raw(raw: Self::Raw) -> Self;
    /// Nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// Value as f64 (exact for all but large i64).
    fn to_f64(self) -> f64;
}

macro_rules! element {
    ($t:ty, $dtype:ident, $from:expr, $to:expr) => {
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            type Raw = $t;
            #[inline(always)]
            fn to_raw(self) -> $t {
                self
            }
            #[inline(always)]
            fn from_raw(raw: $t) -> $t {
                raw
            }
            #[inline(always)]
            fn from_f64(value: f64) -> $t {
                $from(value)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to(self)
            }
        }
    };
}
element!(f64, F64, |v| v, |v| v);
element!(f32, F32, |v| v as f32, |v| v as f64);
element!(f16, F16, f16::from_f64, f16::to_f64);
element!(bf16, BF16, bf16::from_f64, bf16::to_f64);
element!(i64, I64, |v| v as i64, |v| v as f64);
element!(i32, I32, |v| v as i32, |v| v as f64);
element!(u8, U8, |v| v as u8, |v| v as f64);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    type Raw = u8;
    fn to_raw(self) -> u8 {
        u8::from(self)
    }
    fn from_raw(raw: u8) -> bool {
        raw != 0
    }
    fn from_f64(value: f64) -> bool {
        value != 0.0
    }
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}

/// Runs `$body` with `$T` bound to the memory type of `$dtype` (bool as u8).
macro_rules! with_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F16 => {
                type $T = half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::U8 | $crate::DType::Bool => {
                type $T = u8;
                $body
            }
        }
    };
}
pub(crate) use with_dtype;
