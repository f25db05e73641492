//! One body, compiled for several instruction sets.
//!
//! Kernels are plain loops over `#[inline(always)]` arithmetic which the compiler vectorises. [`per_isa!`] compiles such a
//! loop once for each [`Isa`] and hands out the version that this processor runs best.

use std::sync::OnceLock;

/// What a kernel may assume about the processor that runs it.
pub(crate) trait Isa: Copy + 'static {
    /// Whether `a * b + c` with one rounding is an instruction. Without it, `mul_add` would call a slow function.
    const FMA: bool;
}

/// AVX-512 with FMA.
#[derive(Clone, Copy)]
pub(crate) struct V4;
/// AVX2 with FMA.
#[derive(Clone, Copy)]
pub(crate) struct V3;
/// What the build's target guarantees.
#[derive(Clone, Copy)]
pub(crate) struct Baseline;

impl Isa for V4 {
    const FMA: bool = true;
}
impl Isa for V3 {
    const FMA: bool = true;
}
impl Isa for Baseline {
    const FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
}

/// The widest instruction set of this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    #[cfg(target_arch = "x86_64")]
    V4,
    #[cfg(target_arch = "x86_64")]
    V3,
    Baseline,
}

/// The level of the processor this runs on; asked once.
#[inline]
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(detect)
}

fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let v3 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("lzcnt");
        let v4 = v3
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if v4 {
            return Level::V4;
        }
        if v3 {
            return Level::V3;
        }
    }
    Level::Baseline
}

/// Declares `$name`, whose body runs compiled for this processor: `$body` is an `#[inline(always)]` function generic
/// over the [`Isa`] as its first type parameter.
///
/// `per_isa!(pub(crate) fn name<T: Bound>(a: A, b: B) -> C = body::<T>)` calls `body::<I, T>(a, b)`.
macro_rules! per_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$($p:ident : $bound:path),*>($($arg:ident : $ty:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$meta])*
        #[inline]
        #[allow(clippy::too_many_arguments, clippy::allow_attributes)]
        $vis fn $name<$($p: $bound),*>($($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::cpu::simd::{Level, V3, V4, level};
                #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt")]
                fn v4<$($p: $bound),*>($($arg: $ty),*) $(-> $out)? {
                    $body::<V4, $($p),*>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c,lzcnt")]
                fn v3<$($p: $bound),*>($($arg: $ty),*) $(-> $out)? {
                    $body::<V3, $($p),*>($($arg),*)
                }
                match level() {
                    // SAFETY: `level` has found these features on this processor.
                    Level::V4 => return unsafe { v4::<$($p),*>($($arg),*) },
                    // SAFETY: as above.
                    Level::V3 => return unsafe { v3::<$($p),*>($($arg),*) },
                    Level::Baseline => {}
                }
            }
            $body::<$crate::cpu::simd::Baseline, $($p),*>($($arg),*)
        }
    };
}
pub(crate) use per_isa;
