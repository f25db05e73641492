//! The distributions, and the loop that fills memory from them.

use std::fmt;

use half::{bf16, f16};
use rayon::prelude::*;

use super::functions::{ULP_64, box_muller, ln, open_unit, unit};
use super::gamma::{Beta, Gamma};
use super::truncated::Truncated;
use super::{ELEMENTS, Stream};
use crate::{Array, DType, Element};

/// A distribution on the real line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Uniform on [lo, hi), both finite.
    Uniform {
        /// Lower end, included.
        lo: f64,
        /// Upper end, excluded up to rounding.
        hi: f64,
    },
    /// Standard normal, by the Box-Muller transform: elements `2k` and `2k + 1` share a block.
    Normal,
    /// Standard normal conditioned on [lo, hi].
    TruncatedNormal {
        /// Lower end, or -∞.
        lo: f64,
        /// Upper end, or ∞.
        hi: f64,
    },
    /// Density x^(alpha - 1) e^(-x) / Γ(alpha). Draws underflow to zero with probability near 10^(-308 alpha).
    Gamma {
        /// Shape parameter, positive.
        alpha: f64,
    },
    /// Density proportional to x^(a - 1) (1 - x)^(b - 1) on [0, 1].
    Beta {
        /// Weight at one, positive.
        a: f64,
        /// Weight at zero, positive.
        b: f64,
    },
    /// Density e^(-x) on x ≥ 0.
    Exponential,
    /// Density e^(-|x|) / 2.
    Laplace,
    /// Distribution function exp(-e^(-x)).
    Gumbel,
    /// -1 or 1, evenly.
    Rademacher,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Law::Uniform { .. } => "uniform",
            Law::Normal => "normal",
            Law::TruncatedNormal { .. } => "truncated_normal",
            Law::Gamma { .. } => "gamma",
            Law::Beta { .. } => "beta",
            Law::Exponential => "exponential",
            Law::Laplace => "laplace",
            Law::Gumbel => "gumbel",
            Law::Rademacher => "rademacher",
        })
    }
}

/// Elements per parallel task.
const CHUNK: usize = 1 << 14;
/// Blocks, of two elements each, per pass of the vectorised loops: they stay in the first-level cache.
const BATCH: usize = 128;

pub(super) fn draw(stream: &Stream, law: Law, shape: &[usize], dtype: DType) -> Array {
    fn typed<T: Element>(stream: &Stream, law: Law, shape: &[usize]) -> Array {
        let mut out = vec![T::from_f64(0.0); shape.iter().product()];
        fill(stream, law, 0, &mut out);
        Array::from_vec(out, shape)
    }
    match dtype {
        DType::F64 => typed::<f64>(stream, law, shape),
        DType::F32 => typed::<f32>(stream, law, shape),
        DType::F16 => typed::<f16>(stream, law, shape),
        DType::BF16 => typed::<bf16>(stream, law, shape),
        other => panic!("{law}: draws are of a floating type, not {other}"),
    }
}

/// An array of `values`, rounded to a floating `dtype`.
pub(super) fn round_to(values: Vec<f64>, shape: &[usize], dtype: DType) -> Array {
    fn typed<T: Element>(values: &[f64], shape: &[usize]) -> Array {
        Array::from_vec(values.iter().map(|&x| T::from_f64(x)).collect(), shape)
    }
    match dtype {
        DType::F64 => Array::from_vec(values, shape),
        DType::F32 => typed::<f32>(&values, shape),
        DType::F16 => typed::<f16>(&values, shape),
        DType::BF16 => typed::<bf16>(&values, shape),
        other => panic!("random points are of a floating type, not {other}"),
    }
}

/// Elements `start..` of a draw.
pub(super) fn fill<T: Element>(stream: &Stream, law: Law, start: u64, out: &mut [T]) {
    assert!(
        start.checked_add(out.len() as u64).is_some_and(|end| end <= ELEMENTS),
        "{law}: a draw has at most 2^48 elements, asked for {} from number {start} on",
        out.len()
    );
    let sampler = Sampler::new(stream, law, T::DTYPE);
    if out.len() <= CHUNK {
        sampler.fill(stream, start, out);
    } else {
        out.par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(i, chunk)| sampler.fill(stream, start + (i * CHUNK) as u64, chunk));
    }
}

/// A law with its constants worked out.
enum Sampler {
    Uniform { lo: f64, width: f64, bits: u32 },
    Normal,
    Exponential,
    Laplace,
    Gumbel,
    Rademacher,
    Truncated(Truncated),
    Gamma(Gamma),
    Beta(Beta),
}

impl Sampler {
    fn new(stream: &Stream, law: Law, dtype: DType) -> Self {
        match law {
            Law::Uniform { lo, hi } => {
                assert!(
                    lo <= hi && (hi - lo).is_finite(),
                    "{law}: the range must be finite with lo <= hi, got [{lo}, {hi})"
                );
                let bits = significant_bits(dtype);
                Self::Uniform { lo, width: hi - lo, bits }
            }
            Law::Normal => Self::Normal,
            Law::TruncatedNormal { lo, hi } => Self::Truncated(Truncated::new(lo, hi)),
            Law::Gamma { alpha } => Self::Gamma(Gamma::new("gamma", "alpha", alpha)),
            Law::Beta { a, b } => Self::Beta(Beta::new(stream, a, b)),
            Law::Exponential => Self::Exponential,
            Law::Laplace => Self::Laplace,
            Law::Gumbel => Self::Gumbel,
            Law::Rademacher => Self::Rademacher,
        }
    }

    fn fill<T: Element>(&self, stream: &Stream, start: u64, mut out: &mut [T]) {
        let arch = pulp::Arch::new();
        let mut position = start;
        let mut values = [0.0; 2 * BATCH];
        while !out.is_empty() {
            // An odd start takes the second half of its block.
            let skip = (position % 2) as usize;
            let count = out.len().min(2 * BATCH - skip);
            let blocks = (skip + count).div_ceil(2);
            arch.dispatch(Batch {
                sampler: self,
                stream,
                first: position / 2,
                out: &mut values[..2 * blocks],
            });
            let (head, rest) = out.split_at_mut(count);
            for (x, value) in head.iter_mut().zip(&values[skip..]) {
                *x = T::from_f64(*value);
            }
            out = rest;
            position += count as u64;
        }
    }
}

/// Elements `2 first..` of a draw, an even number of them. A type and not a closure, for a closure's body would not be
/// compiled for the vector unit that was found.
struct Batch<'a> {
    sampler: &'a Sampler,
    stream: &'a Stream,
    first: u64,
    out: &'a mut [f64],
}

impl pulp::NullaryFnOnce for Batch<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { sampler, stream, first, out } = self;
        let each = |f: &dyn Fn(u64) -> f64, out: &mut [f64]| {
            for (i, x) in out.iter_mut().enumerate() {
                *x = f(2 * first + i as u64);
            }
        };
        match sampler {
            Sampler::Uniform { lo, width, bits } => {
                by_word(stream, first, out, |word| lo + width * unit(word, *bits));
            }
            Sampler::Normal => by_pair(stream, first, out, box_muller),
            Sampler::Exponential => by_word(stream, first, out, |word| -ln(open_unit(word))),
            Sampler::Laplace => by_word(stream, first, out, |word| {
                let size = -ln(((word >> 1) as f64 + 1.0) * (2.0 * ULP_64));
                if word & 1 == 0 { size } else { -size }
            }),
            // 52 bits and half a step keep both ends of the unit interval out of reach.
            Sampler::Gumbel => {
                by_word(stream, first, out, |word| -ln(-ln(unit(word, 52) + 2048.0 * ULP_64)));
            }
            Sampler::Rademacher => {
                by_word(stream, first, out, |word| 1.0 - 2.0 * (word >> 63) as f64);
            }
            Sampler::Truncated(law) => each(&|i| law.value(stream, i), out),
            Sampler::Gamma(law) => each(&|i| law.value(stream, i), out),
            Sampler::Beta(law) => each(&|i| law.value(i), out),
        }
    }
}

/// Bits of a floating type's significand: as many as a uniform draw can have without rounding up to one.
fn significant_bits(dtype: DType) -> u32 {
    match dtype {
        DType::BF16 => 8,
        DType::F16 => 11,
        DType::F32 => 24,
        _ => 53,
    }
}

#[inline(always)]
fn by_word(stream: &Stream, first: u64, out: &mut [f64], value: impl Fn(u64) -> f64) {
    by_pair(stream, first, out, |[a, b]| (value(a), value(b)));
}

/// Two loops over flat arrays, one for the bits and one for the values, which the compiler vectorises.
#[inline(always)]
fn by_pair(stream: &Stream, first: u64, out: &mut [f64], values: impl Fn([u64; 2]) -> (f64, f64)) {
    let stream = *stream;
    let mut words = [[0; BATCH]; 2];
    let (pairs, _) = out.as_chunks_mut::<2>();
    let [low, high] = &mut words;
    let (low, high) = (&mut low[..pairs.len()], &mut high[..pairs.len()]);
    // Indexed, for `enumerate` counts with an overflow check, which stops the vectorisation of checked builds.
    for i in 0..pairs.len() {
        [low[i], high[i]] = stream.block(first.wrapping_add(i as u64), 0);
    }
    for (pair, (a, b)) in pairs.iter_mut().zip(low.iter().zip(high.iter())) {
        let (x, y) = values([*a, *b]);
        *pair = [x, y];
    }
}
