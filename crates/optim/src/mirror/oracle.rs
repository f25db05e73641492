//! Where stochastic subgradients come from.

use lisse_array::random::Law;
use lisse_array::{Array, Stream};
use serde::{Deserialize, Serialize};

use super::MirrorError;
use super::prox::{positive, scale_by, square};

/// What one step sees.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// The examples of the step; empty for an oracle without examples.
    pub examples: &'a [usize],
    /// Randomness of this step alone.
    pub stream: Stream,
}

/// A convex `f` seen through stochastic subgradients.
///
/// All randomness comes from the [`Draw`], so a run is a function of its seed.
pub trait StochasticOracle: Sync {
    /// Coordinates of `x`.
    fn dimension(&self) -> usize;

    /// Examples that a draw chooses from; `None` if it chooses none.
    fn examples(&self) -> Option<usize> {
        None
    }

    /// Writes a subgradient at `x` to `out`: an unbiased one over all draws. Returns the loss of the draw.
    fn gradient(&self, x: &[f64], draw: &Draw<'_>, out: &mut [f64]) -> f64;

    /// `f(x)`, over all examples and without noise.
    fn value(&self, x: &[f64]) -> f64;
}

/// How the examples of a step are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Independently: what the theory is about.
    #[default]
    WithReplacement,
    /// Every example once per pass, in a new random order each time: what practice does. The last batch of a pass may be smaller.
    Shuffled,
}

/// The draws of a run, by step.
pub(super) struct Sampler {
    examples: Option<usize>,
    batch: usize,
    sampling: Sampling,
    example_stream: Stream,
    noise_stream: Stream,
    pass: Option<u64>,
    order: Vec<usize>,
    chosen: Vec<usize>,
}

impl Sampler {
    pub fn new(examples: Option<usize>, batch: usize, sampling: Sampling, seed: u64) -> Sampler {
        let stream = Stream::new(seed);
        Sampler {
            examples,
            batch,
            sampling,
            example_stream: stream.child("example"),
            noise_stream: stream.child("noise"),
            pass: None,
            order: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// The draw of step `t`, counted from 1.
    pub fn at(&mut self, t: u64) -> Draw<'_> {
        let (index, batch) = (t - 1, self.batch as u64);
        self.chosen.clear();
        match (self.examples, self.sampling) {
            (None, _) => {}
            (Some(n), Sampling::WithReplacement) => {
                let pick = |i| self.example_stream.below_at(index * batch + i, n as u64) as usize;
                self.chosen.extend((0..batch).map(pick));
            }
            (Some(n), Sampling::Shuffled) => {
                let per_pass = (n as u64).div_ceil(batch);
                let (pass, start) = (index / per_pass, (index % per_pass * batch) as usize);
                if self.pass != Some(pass) {
                    self.order = self.example_stream.at(pass).permutation(n);
                    self.pass = Some(pass);
                }
                self.chosen.extend_from_slice(&self.order[start..(start + self.batch).min(n)]);
            }
        }
        Draw { examples: &self.chosen, stream: self.noise_stream.at(index) }
    }
}

/// Losses of a linear prediction `z = <a, x>` for a target `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// `max(0, 1 - y z)`, `y` in -1, 1.
    Hinge,
    /// `ln(1 + exp(-y z))`, `y` in -1, 1.
    Logistic,
    /// `|y - z|`.
    Absolute,
    /// `(y - z)^2 / 2`.
    Squared,
}

impl Loss {
    /// Loss and its (sub)derivative in `z`.
    fn at(self, y: f64, z: f64) -> (f64, f64) {
        match self {
            Loss::Hinge => {
                let slack = 1.0 - y * z;
                if slack > 0.0 { (slack, -y) } else { (0.0, 0.0 * slack) }
            }
            Loss::Logistic => {
                let m = -y * z;
                // ln(1 + e^m), without overflow.
                (m.max(0.0) + (-m.abs()).exp().ln_1p(), -y / (1.0 + (-m).exp()))
            }
            Loss::Absolute => {
                let d = z - y;
                (d.abs(), if d == 0.0 { 0.0 } else { d.signum() })
            }
            Loss::Squared => (0.5 * (z - y) * (z - y), z - y),
        }
    }
}

/// The mean loss of a linear model without intercept.
#[derive(Clone, Debug)]
pub struct LinearModel {
    rows: Vec<f64>,
    targets: Vec<f64>,
    dimension: usize,
    loss: Loss,
}

impl LinearModel {
    /// From inputs `[n, d]` and `n` targets (-1 or 1 for the classification losses).
    ///
    /// # Errors
    /// No examples; another number of targets; a number that is not finite; a target that is no class.
    pub fn new(inputs: &Array, targets: &Array, loss: Loss) -> Result<LinearModel, MirrorError> {
        let bad = |key: &str, expected| Err(MirrorError::OutOfRange { key: key.into(), expected });
        if inputs.rank() != 2 || inputs.is_empty() {
            return bad("inputs", "a matrix with at least one row and column");
        }
        let (rows, targets) = (inputs.to_f64_vec(), targets.to_f64_vec());
        if targets.len() != inputs.shape()[0] {
            return bad("targets", "one per row of the inputs");
        }
        if !rows.iter().chain(&targets).all(|v| v.is_finite()) {
            return bad("inputs", "finite numbers, and so for the targets");
        }
        let signs = matches!(loss, Loss::Hinge | Loss::Logistic);
        if signs && !targets.iter().all(|y| y.abs() == 1.0) {
            return bad("targets", "-1 or 1 for this loss");
        }
        Ok(LinearModel { dimension: inputs.shape()[1], rows, targets, loss })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.dimension..(i + 1) * self.dimension]
    }

    /// `L` for the cap `1 / (2L)` of the schedules: the greatest `||a||^2 / 4` for the logistic loss, the top eigenvalue of `A'A / n` for
    /// the squared one, 0 (no cap) for the losses that are not smooth.
    ///
    /// # Errors
    /// An eigenvalue that does not converge.
    pub fn smoothness(&self) -> Result<f64, MirrorError> {
        let n = self.targets.len();
        match self.loss {
            Loss::Hinge | Loss::Absolute => Ok(0.0),
            Loss::Logistic => Ok((0..n).map(|i| square(self.row(i))).fold(0.0, f64::max) / 4.0),
            Loss::Squared => {
                let a = Array::from_slice(&self.rows, &[n, self.dimension]);
                let gram = a.t().matmul(&a) / n as f64;
                let (values, _) =
                    gram.eigh().map_err(|problem| MirrorError::Numerics(problem.to_string()))?;
                Ok(values.max_all().item())
            }
        }
    }
}

fn dot(a: &[f64], x: &[f64]) -> f64 {
    a.iter().zip(x).map(|(a, x)| a * x).sum()
}

impl StochasticOracle for LinearModel {
    fn dimension(&self) -> usize {
        self.dimension
    }
    fn examples(&self) -> Option<usize> {
        Some(self.targets.len())
    }
    fn gradient(&self, x: &[f64], draw: &Draw<'_>, out: &mut [f64]) -> f64 {
        out.fill(0.0);
        let share = 1.0 / draw.examples.len().max(1) as f64;
        let mut total = 0.0;
        for &i in draw.examples {
            let row = self.row(i);
            let (loss, slope) = self.loss.at(self.targets[i], dot(row, x));
            total += share * loss;
            for (o, a) in out.iter_mut().zip(row) {
                *o += share * slope * a;
            }
        }
        total
    }
    fn value(&self, x: &[f64]) -> f64 {
        let losses =
            self.targets.iter().enumerate().map(|(i, y)| self.loss.at(*y, dot(self.row(i), x)).0);
        losses.sum::<f64>() / self.targets.len() as f64
    }
}

/// `f(x) = max_i <h_i, x>`, whose subgradient is the first `h_i` that reaches the maximum within `1e-12`. Without randomness.
#[derive(Clone, Debug)]
pub struct MaxLinear {
    /// The `h_i`, at least one; zeros at the end may be left out of all but one.
    pub rows: Vec<Vec<f64>>,
}

impl MaxLinear {
    /// The function on which SGD's last iterate is worse than its average by a factor `ln T` (Harvey, Liaw, Plan and Randhawa, "Tight
    /// analyses for non-smooth stochastic gradient descent", COLT 2019), for `steps` steps from 0 in the unit ball of `R^steps`.
    ///
    /// With `a_j = 1 / (8 (T - j + 1))` and `b_j = sqrt j / (2 sqrt T)`: `h_i = (a_1, ..., a_{i-1}, -b_i, 0, ..., 0)`, `i <= T + 1`.
    pub fn slow_last_iterate(steps: usize) -> MaxLinear {
        let total = steps as f64;
        let row = |i: usize| {
            let mut row: Vec<f64> = (0..i).map(|j| 1.0 / (8.0 * (total - j as f64))).collect();
            if i < steps {
                row.push(-((i + 1) as f64).sqrt() / (2.0 * total.sqrt()));
            }
            row
        };
        MaxLinear { rows: (0..=steps).map(row).collect() }
    }

    fn values(&self, x: &[f64]) -> (Vec<f64>, f64) {
        let values: Vec<f64> = self.rows.iter().map(|h| dot(h, x)).collect();
        let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (values, top)
    }
}

impl StochasticOracle for MaxLinear {
    fn dimension(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }
    fn gradient(&self, x: &[f64], _: &Draw<'_>, out: &mut [f64]) -> f64 {
        let (values, top) = self.values(x);
        match values.iter().position(|v| *v >= top - 1e-12) {
            Some(i) => {
                let (head, rest) = out.split_at_mut(self.rows[i].len());
                head.copy_from_slice(&self.rows[i]);
                rest.fill(0.0);
            }
            None => out.fill(f64::NAN),
        }
        top
    }
    fn value(&self, x: &[f64]) -> f64 {
        self.values(x).1
    }
}

/// Noise of a gradient, independent in every coordinate and symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Noise {
    /// Normal.
    Gaussian {
        /// Standard deviation.
        scale: f64,
    },
    /// Student's t: moments below `df` are finite.
    StudentT {
        /// Degrees of freedom, above 1 (below, there is no mean).
        df: f64,
        /// Multiplies it.
        #[serde(default = "one")]
        scale: f64,
    },
    /// `P(|noise| > u) = (1 + u / scale)^{-index}`: moments below `index` are finite.
    Pareto {
        /// Tail index, above 1.
        index: f64,
        /// Multiplies it.
        #[serde(default = "one")]
        scale: f64,
    },
    /// `P(|noise| > u) = exp(-(u / scale)^power)`: lighter than any power law, heavier than normal for `power` below 2.
    SubWeibull {
        /// Above 0.
        power: f64,
        /// Multiplies it.
        #[serde(default = "one")]
        scale: f64,
    },
}

fn one() -> f64 {
    1.0
}

impl Noise {
    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), MirrorError> {
        let check = |good: bool, key: &str, expected| {
            good.then_some(())
                .ok_or(MirrorError::OutOfRange { key: format!("noise.{key}"), expected })
        };
        let mean = |v: f64| v > 1.0 && v.is_finite();
        let (scale, shape) = match *self {
            Noise::Gaussian { scale } => (scale, Ok(())),
            Noise::StudentT { df, scale } => (scale, check(mean(df), "df", "a number above 1")),
            Noise::Pareto { index, scale } => {
                (scale, check(mean(index), "index", "a number above 1"))
            }
            Noise::SubWeibull { power, scale } => {
                (scale, check(positive(power), "power", "a number above 0"))
            }
        };
        shape?;
        check(scale >= 0.0 && scale.is_finite(), "scale", "a number of at least 0")
    }

    /// Adds one draw to every entry of `out`.
    fn add(&self, stream: &Stream, out: &mut [f64]) {
        let mut draw = vec![0.0; out.len()];
        let signed = |stream: &Stream, law: Law, size: &dyn Fn(f64) -> f64, draw: &mut [f64]| {
            stream.child("size").fill(law, 0, draw);
            let signs = stream.child("sign");
            for (i, v) in draw.iter_mut().enumerate() {
                *v = size(*v) * signs.value_at(Law::Rademacher, i as u64);
            }
        };
        match *self {
            Noise::Gaussian { scale } => {
                stream.fill(Law::Normal, 0, &mut draw);
                scale_by(&mut draw, scale);
            }
            Noise::StudentT { df, scale } => {
                // sqrt(df (u^{-2/df} - 1)) cos(2 pi v): Bailey, "Polar generation of random variates with the t-distribution", 1994.
                let mut uniform = vec![0.0; 2 * out.len()];
                stream.fill(Law::Uniform { lo: 0.0, hi: 1.0 }, 0, &mut uniform);
                for (v, pair) in draw.iter_mut().zip(uniform.chunks_exact(2)) {
                    let square = df * (-2.0 / df * (-pair[0]).ln_1p()).exp_m1();
                    *v = scale * square.sqrt() * (std::f64::consts::TAU * pair[1]).cos();
                }
            }
            Noise::Pareto { index, scale } => {
                signed(stream, Law::Exponential, &|e| scale * (e / index).exp_m1(), &mut draw);
            }
            Noise::SubWeibull { power, scale } => {
                signed(stream, Law::Exponential, &|e| scale * e.powf(1.0 / power), &mut draw);
            }
        }
        for (o, v) in out.iter_mut().zip(&draw) {
            *o += v;
        }
    }
}

/// An oracle with noise added to its gradients.
#[derive(Clone, Debug)]
pub struct Noisy<O> {
    /// The oracle.
    pub inner: O,
    /// The noise.
    pub noise: Noise,
}

impl<O: StochasticOracle> StochasticOracle for Noisy<O> {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }
    fn examples(&self) -> Option<usize> {
        self.inner.examples()
    }
    fn gradient(&self, x: &[f64], draw: &Draw<'_>, out: &mut [f64]) -> f64 {
        let loss = self.inner.gradient(x, draw, out);
        self.noise.add(&draw.stream, out);
        loss
    }
    fn value(&self, x: &[f64]) -> f64 {
        self.inner.value(x)
    }
}

impl<O: StochasticOracle + ?Sized> StochasticOracle for &O {
    fn dimension(&self) -> usize {
        (**self).dimension()
    }
    fn examples(&self) -> Option<usize> {
        (**self).examples()
    }
    fn gradient(&self, x: &[f64], draw: &Draw<'_>, out: &mut [f64]) -> f64 {
        (**self).gradient(x, draw, out)
    }
    fn value(&self, x: &[f64]) -> f64 {
        (**self).value(x)
    }
}

impl<O: StochasticOracle + ?Sized> StochasticOracle for Box<O> {
    fn dimension(&self) -> usize {
        (**self).dimension()
    }
    fn examples(&self) -> Option<usize> {
        (**self).examples()
    }
    fn gradient(&self, x: &[f64], draw: &Draw<'_>, out: &mut [f64]) -> f64 {
        (**self).gradient(x, draw, out)
    }
    fn value(&self, x: &[f64]) -> f64 {
        (**self).value(x)
    }
}
