//! Random numbers as pure functions of where they are used.
//!
//! A [`Stream`] is a point in a tree of names: `Stream::new(7).child("noise").at(3)` is the same stream wherever and
//! whenever it is written. Element `j` of a draw depends on the stream and on `j` alone, so results do not change with
//! the number of threads, the batch size, or how a draw is split over ranks, and the first ten numbers of a long draw
//! are a draw of ten. There is no hidden state to save: a stream is sixteen bytes.
//!
//! One stream is for one draw: `stream.uniform(..)` and `stream.normal(..)` are made from the same bits. Give each use
//! its own child. Numbers are generated on the processor and then moved to [`Device::current`](crate::Device::current),
//! so every device gets the same ones; only exactly rounded arithmetic goes into uniform, normal, exponential, Laplace
//! and Gumbel draws, so every machine does too.

#![expect(
    clippy::inline_always,
    reason = "a function left out of line is compiled without the vector instructions found at run time"
)]

mod discrete;
mod functions;
mod gamma;
mod law;
mod philox;
mod truncated;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Array, DType};
pub use law::Law;

/// Draws can have this many elements: the top 16 bits of a counter number the attempts of rejection methods.
const ELEMENTS: u64 = 1 << 48;

/// What a stream is derived by; each keeps its own part of the key space.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Domain {
    Seed = 0x5EED_0001,
    Index = 0x1DE0_0002,
    Name = 0x4A3E_0003,
    Part = 0x9A27_0004,
}

/// A stream of random numbers; see the [module](self).
///
/// Its identity is 128 bits: the key of Philox4x32-10 and the upper half of its counter. Children are found by
/// Philox itself under a modified key: siblings by index never coincide, and any two of `n` other streams coincide with
/// probability near n² / 2¹²⁹.
///
/// ```
/// use lisse_array::{DType, Stream};
///
/// let noise = Stream::new(7).child("noise");
/// let step_3 = noise.at(3).normal(&[2, 5], DType::F64);
/// assert_eq!(step_3.to_vec::<f64>(), noise.at(3).normal(&[10], DType::F64).to_vec::<f64>());
/// ```
///
/// Reference: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stream {
    key: [u32; 2],
    upper: [u32; 2],
}

impl Stream {
    /// The stream of a seed; different seeds give different streams.
    pub fn new(seed: u64) -> Self {
        let root = Self { key: [0x243F_6A88, 0x85A3_08D3], upper: [0x1319_8A2E, 0x0370_7344] };
        root.derive(Domain::Seed, seed)
    }

    /// The stream that belongs to `name` under this one.
    pub fn child(&self, name: &str) -> Self {
        let bytes = name.as_bytes();
        let start = self.derive(Domain::Name, bytes.len() as u64);
        bytes.chunks(8).fold(start, |stream, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            stream.derive(Domain::Name, u64::from_le_bytes(word))
        })
    }

    /// The stream that belongs to number `index` (a step, an example, a rank) under this one.
    pub fn at(&self, index: u64) -> Self {
        self.derive(Domain::Index, index)
    }

    /// A stream of this crate's own, for draws that need more than one.
    fn part(&self, index: u64) -> Self {
        self.derive(Domain::Part, index)
    }

    fn derive(&self, domain: Domain, word: u64) -> Self {
        let domain = domain as u32;
        let key = [self.key[0] ^ domain, self.key[1] ^ domain.rotate_left(16)];
        let [a, b] = philox::block(key, [word, self.upper_word()]);
        let halves = |word: u64| [word as u32, (word >> 32) as u32];
        Self { key: halves(a), upper: halves(b) }
    }

    #[inline(always)]
    fn upper_word(&self) -> u64 {
        u64::from(self.upper[0]) | u64::from(self.upper[1]) << 32
    }

    /// The 128 bits at `index` below 2⁴⁸, attempt `round`. Round 0 is shared by elements `2 index` and `2 index + 1`;
    /// the others belong to element `index`.
    #[inline(always)]
    fn block(&self, index: u64, round: u64) -> [u64; 2] {
        philox::block(self.key, [index | round << 48, self.upper_word()])
    }

    /// The 64 bits of element `index`.
    fn word(&self, index: u64) -> u64 {
        self.block(index / 2, 0)[(index % 2) as usize]
    }

    /// An array of independent draws from `law`, of floating type `dtype`.
    ///
    /// Draws are made in `f64` and rounded to `dtype` (uniform ones keep the leading bits, so they stay below the upper
    /// end of [0, 1)). Panics if `dtype` is not floating or the law's parameters are out of bounds.
    pub fn draw(&self, law: Law, shape: &[usize], dtype: DType) -> Array {
        law::draw(self, law, shape, dtype)
    }

    /// Writes elements `start`, `start + 1`, ... of the `f64` draw from `law` to `out`: a part of [`Stream::draw`], for
    /// splitting a draw over ranks or tiles.
    pub fn fill(&self, law: Law, start: u64, out: &mut [f64]) {
        law::fill(self, law, start, out);
    }

    /// Element `index` of the `f64` draw from `law`.
    pub fn value_at(&self, law: Law, index: u64) -> f64 {
        let mut value = [0.0];
        law::fill(self, law, index, &mut value);
        value[0]
    }

    /// Uniform on [0, 1).
    pub fn uniform(&self, shape: &[usize], dtype: DType) -> Array {
        self.uniform_range(0.0, 1.0, shape, dtype)
    }

    /// Uniform on [`lo`, `hi`). In narrow types, or where `hi - lo` is small beside `lo`, rounding can give `hi` itself.
    pub fn uniform_range(&self, lo: f64, hi: f64, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::Uniform { lo, hi }, shape, dtype)
    }

    /// Standard normal.
    pub fn normal(&self, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::Normal, shape, dtype)
    }

    /// Standard normal conditioned on lying in [`lo`, `hi`]; either may be infinite, and both may be far in one tail.
    pub fn truncated_normal(&self, lo: f64, hi: f64, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::TruncatedNormal { lo, hi }, shape, dtype)
    }

    /// Gamma with shape parameter `alpha` > 0 and unit scale.
    pub fn gamma(&self, alpha: f64, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::Gamma { alpha }, shape, dtype)
    }

    /// Beta with parameters `a`, `b` > 0.
    pub fn beta(&self, a: f64, b: f64, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::Beta { a, b }, shape, dtype)
    }

    /// Exponential with unit mean.
    pub fn exponential(&self, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::Exponential, shape, dtype)
    }

    /// Laplace with density e^(-|x|) / 2 (variance 2).
    pub fn laplace(&self, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::Laplace, shape, dtype)
    }

    /// Standard Gumbel, with distribution function exp(-e^(-x)).
    pub fn gumbel(&self, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::Gumbel, shape, dtype)
    }

    /// -1 or 1, each with probability one half.
    pub fn rademacher(&self, shape: &[usize], dtype: DType) -> Array {
        self.draw(Law::Rademacher, shape, dtype)
    }

    /// Points uniform on the unit sphere: vectors of norm one along the last axis. Panics if that axis is empty.
    pub fn sphere(&self, shape: &[usize], dtype: DType) -> Array {
        let (directions, _) = self.directions("sphere", shape);
        law::round_to(directions, shape, dtype)
    }

    /// Points uniform in the unit ball, along the last axis. Panics if that axis is empty.
    pub fn ball(&self, shape: &[usize], dtype: DType) -> Array {
        let (mut points, dimension) = self.directions("ball", shape);
        let radii = self.part(0);
        points.par_chunks_mut(dimension).enumerate().for_each(|(row, point)| {
            let log_uniform = functions::ln(functions::open_unit(radii.word(row as u64)));
            let radius = libm::exp(log_uniform / dimension as f64);
            for x in point {
                *x *= radius;
            }
        });
        law::round_to(points, shape, dtype)
    }

    /// Normalised normal vectors, and their dimension.
    fn directions(&self, operation: &str, shape: &[usize]) -> (Vec<f64>, usize) {
        let dimension = shape.last().copied().unwrap_or(0);
        assert!(
            dimension > 0,
            "{operation}: the last axis holds each point's coordinates and must not be empty, got shape {shape:?}"
        );
        let mut points = vec![0.0; shape.iter().product()];
        self.fill(Law::Normal, 0, &mut points);
        points.par_chunks_mut(dimension).for_each(|point| {
            let norm = point.iter().map(|x| x * x).sum::<f64>().sqrt();
            for x in point {
                *x /= norm;
            }
        });
        (points, dimension)
    }
}
