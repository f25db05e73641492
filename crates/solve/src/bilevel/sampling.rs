//! Mini-batches as handles that can be used again at another point.

use std::ops::Range;

use lisse_array::Stream;

/// Which examples a stochastic oracle looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All of them.
    All,
    /// A run of neighbours, without copying.
    Block(Range<usize>),
    /// These.
    Listed(Vec<usize>),
}

/// One sample: examples, and the stream of whatever else is random (augmentation, dropout, noise). Two calls with the same batch
/// see the same data, which is what makes differences of gradients at two points accurate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The examples.
    pub rows: Rows,
    /// The other randomness.
    pub stream: Stream,
}

impl Batch {
    /// All examples.
    pub fn all() -> Batch {
        Batch { rows: Rows::All, stream: Stream::new(0) }
    }
}

/// How batches are drawn; a pure function of a step and a [`Purpose`], so nothing needs saving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// All examples every time.
    Whole,
    /// Independent draws with replacement.
    Draws {
        /// Examples there are.
        examples: usize,
        /// Examples in a batch.
        batch: usize,
        /// Source of randomness.
        stream: Stream,
    },
    /// A random one of the consecutive blocks of `batch` examples: fast, for data in random order. The last block may be short.
    Blocks {
        /// Examples there are.
        examples: usize,
        /// Examples in a batch.
        batch: usize,
        /// Source of randomness.
        stream: Stream,
    },
}

/// What a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Gradient of the lower objective in `y`.
    LowerGradient = 0,
    /// Product with the lower Hessian.
    Hessian = 1,
    /// Gradient of the upper objective in `y`.
    UpperY = 2,
    /// Gradient of the upper objective in `x`.
    UpperX = 3,
    /// Product with the mixed second derivative.
    Cross = 4,
}

impl Sampler {
    /// The batch of a step (any number) and a purpose.
    pub fn at(&self, step: u64, purpose: u64) -> Batch {
        match *self {
            Sampler::Whole => Batch::all(),
            Sampler::Draws { examples, batch, stream } => {
                let stream = stream.at(step).at(purpose);
                let below = examples as u64;
                let row = |i| stream.below_at(i, below) as usize;
                Batch { rows: Rows::Listed((0..batch as u64).map(row).collect()), stream }
            }
            Sampler::Blocks { examples, batch, stream } => {
                let stream = stream.at(step).at(purpose);
                let blocks = examples.div_ceil(batch).max(1);
                let start = stream.below(blocks as u64) as usize * batch;
                Batch { rows: Rows::Block(start..(start + batch).min(examples)), stream }
            }
        }
    }
}

/// Batches of both levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// For the upper objective.
    pub upper: Sampler,
    /// For the lower objective.
    pub lower: Sampler,
    /// Whether all oracles of a level share a step's batch (cheaper: one pass gives all), instead of independent ones.
    pub shared: bool,
}

impl Samples {
    /// All examples in every call: a deterministic problem.
    pub fn whole() -> Samples {
        Samples { upper: Sampler::Whole, lower: Sampler::Whole, shared: true }
    }

    /// Independent draws of `batch` examples, from sums of `(upper, lower)` examples.
    pub fn draws(examples: (usize, usize), batch: usize, stream: &Stream) -> Samples {
        let draw = |examples, name| Sampler::Draws { examples, batch, stream: stream.child(name) };
        Samples {
            upper: draw(examples.0, "upper"),
            lower: draw(examples.1, "lower"),
            shared: false,
        }
    }

    /// Random blocks of `batch` neighbours, one for each level and step.
    pub fn blocks(examples: (usize, usize), batch: usize, stream: &Stream) -> Samples {
        let draw = |examples, name| Sampler::Blocks { examples, batch, stream: stream.child(name) };
        Samples { upper: draw(examples.0, "upper"), lower: draw(examples.1, "lower"), shared: true }
    }

    /// The batch for an oracle at a step.
    pub fn draw(&self, step: u64, purpose: Purpose) -> Batch {
        let number = if self.shared { 0 } else { purpose as u64 };
        match purpose {
            Purpose::UpperX | Purpose::UpperY => self.upper.at(step, number),
            _ => self.lower.at(step, number),
        }
    }
}
