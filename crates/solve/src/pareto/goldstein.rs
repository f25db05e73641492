//! Descent for objectives that are locally Lipschitz, with approximations of the Goldstein subdifferential.

use lisse_array::{DType, Stream};

use super::error::require;
use super::min_norm::{combine, min_norm_weights};
use super::{Objectives, ParetoError, check_start, moved};

/// Descent for several locally Lipschitz objectives (Gebken and Peitz, An efficient descent method for locally Lipschitz
/// multiobjective optimization problems, 2021).
///
/// The direction is `v = -(shortest element of conv W)`, where `W` holds subgradients of all objectives in the ball of radius `eps`
/// about `x`. It starts with one of each at `x` and grows, by bisection along `v`, as long as some objective does not fall by
/// `c eps |v|` over the length `eps`. If `|v| <= delta`, then `x` is `(eps, delta)`-critical and `W` is the witness.
/// Lengths are taken in the inner product of the objectives.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldsteinDescent {
    /// Radius of the ball.
    pub eps: f64,
    /// Length below which the shortest element counts as zero.
    pub delta: f64,
    /// Share of the expected decrease that is asked for, between 0 and 1.
    pub c: f64,
    /// First step length; `None` for `1 / |v|`.
    pub first_step: Option<f64>,
    /// Rounds before the last one with larger `eps` and `delta`.
    pub rounds: usize,
    /// Factor of `eps` and `delta` from round to round, below 1.
    pub shrink: f64,
    /// Most steps of a round.
    pub max_steps: usize,
    /// Whether subgradients are kept from step to step while their points lie in the ball.
    pub memory: bool,
    /// Random points of the ball whose subgradients `W` starts with, and their seed.
    pub samples: (usize, u64),
}

impl Default for GoldsteinDescent {
    fn default() -> Self {
        GoldsteinDescent {
            eps: 1e-3,
            delta: 1e-3,
            c: 0.25,
            first_step: Some(1.0),
            rounds: 0,
            shrink: 0.1,
            max_steps: 1000,
            memory: false,
            samples: (0, 0),
        }
    }
}

/// Why a descent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoldsteinStatus {
    /// The point is `(eps, delta)`-critical.
    Critical,
    /// The limit on steps came first.
    MaxSteps,
    /// The bisection found no further subgradient: an objective or its subgradients are not what they claim, or rounding
    /// is as large as `eps`.
    Stalled,
}

/// A subgradient that takes part in a combination: which objective, where, with what weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// The objective.
    pub objective: usize,
    /// The point.
    pub at: Vec<f64>,
    /// The weight.
    pub weight: f64,
}

/// Where a descent ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Goldstein {
    /// The point.
    pub x: Vec<f64>,
    /// Its values.
    pub values: Vec<f64>,
    /// Why it ended.
    pub status: GoldsteinStatus,
    /// Length of the shortest element found.
    pub criticality: f64,
    /// What it is made of.
    pub witnesses: Vec<Witness>,
    /// Steps taken.
    pub steps: usize,
    /// Values of single objectives computed.
    pub evaluations: usize,
    /// Subgradients of single objectives computed.
    pub subgradients: usize,
}

/// `W` with its Gram matrix.
#[derive(Default)]
struct Bundle {
    of: Vec<(usize, Vec<f64>)>,
    subgradients: Vec<Vec<f64>>,
    gram: Vec<Vec<f64>>,
}

impl Bundle {
    fn push(&mut self, f: &dyn Objectives, i: usize, at: Vec<f64>, xi: Vec<f64>) {
        let mut row: Vec<f64> = self.subgradients.iter().map(|other| f.inner(other, &xi)).collect();
        for (earlier, &product) in self.gram.iter_mut().zip(&row) {
            earlier.push(product);
        }
        row.push(f.inner(&xi, &xi));
        self.gram.push(row);
        self.subgradients.push(xi);
        self.of.push((i, at));
    }

    fn shortest(&self) -> (Vec<f64>, Vec<f64>) {
        let weights = min_norm_weights(&self.gram.concat(), self.gram.len());
        (combine(&self.subgradients, &weights), weights)
    }

    /// Keeps what lies within `eps` of `x`.
    fn near(self, f: &dyn Objectives, x: &[f64], eps: f64) -> Bundle {
        let mut kept = Bundle::default();
        for ((i, at), xi) in self.of.into_iter().zip(self.subgradients) {
            let away = moved(&at, -1.0, x);
            if f.inner(&away, &away).sqrt() <= eps {
                kept.push(f, i, at, xi);
            }
        }
        kept
    }
}

struct Direction {
    v: Vec<f64>,
    norm: f64,
    weights: Vec<f64>,
    stalled: bool,
}

/// A descent under way.
struct Run<'a> {
    f: &'a dyn Objectives,
    method: &'a GoldsteinDescent,
    evaluations: usize,
    subgradients: usize,
}

impl GoldsteinDescent {
    /// Steps from `start` to an `(eps, delta)`-critical point.
    ///
    /// # Errors
    /// [`ParetoError`] for a start that does not fit, an option out of range, or a subgradient that is not finite.
    pub fn minimize(&self, f: &dyn Objectives, start: &[f64]) -> Result<Goldstein, ParetoError> {
        check_start(f, start)?;
        self.check()?;
        let mut run = Run { f, method: self, evaluations: 0, subgradients: 0 };
        let (mut x, mut steps) = (start.to_vec(), 0);
        let mut ended = None;
        for round in (0..=self.rounds).rev() {
            let factor = self.shrink.powi(round as i32);
            let done = run.round(x, self.eps / factor, self.delta / factor)?;
            (x, steps) = (done.0, steps + done.1);
            ended = Some((done.2, done.3, done.4));
        }
        let (status, direction, bundle) = ended.expect("there is a last round");
        let witness =
            |(objective, at): (usize, Vec<f64>), weight| Witness { objective, at, weight };
        let pairs = bundle.of.into_iter().zip(direction.weights);
        Ok(Goldstein {
            values: f.values(&x),
            x,
            status,
            criticality: direction.norm,
            witnesses: pairs.filter(|p| p.1 > 0.0).map(|(of, w)| witness(of, w)).collect(),
            steps,
            evaluations: run.evaluations,
            subgradients: run.subgradients,
        })
    }

    fn check(&self) -> Result<(), ParetoError> {
        require(self.eps > 0.0 && self.eps.is_finite(), "eps", self.eps, "a number above 0")?;
        require(self.delta > 0.0, "delta", self.delta, "above 0")?;
        require(0.0 < self.c && self.c < 1.0, "c", self.c, "between 0 and 1")?;
        require(0.0 < self.shrink && self.shrink < 1.0, "shrink", self.shrink, "between 0 and 1")?;
        let first = self.first_step.unwrap_or(1.0);
        require(first > 0.0, "first_step", first, "above 0")
    }
}

type Point = Vec<f64>;
type Slope = Vec<f64>;
type Round = (Vec<f64>, usize, GoldsteinStatus, Direction, Bundle);

impl Run<'_> {
    fn round(&mut self, mut x: Vec<f64>, eps: f64, delta: f64) -> Result<Round, ParetoError> {
        let mut kept = Bundle::default();
        for steps in 0.. {
            let values = self.values(&x);
            super::check_finite("values of the objectives", &values)?;
            let (direction, bundle) = self.direction(&x, &values, kept, (eps, delta), steps)?;
            let status = if direction.norm <= delta {
                Some(GoldsteinStatus::Critical)
            } else if direction.stalled {
                Some(GoldsteinStatus::Stalled)
            } else {
                (steps >= self.method.max_steps).then_some(GoldsteinStatus::MaxSteps)
            };
            if let Some(status) = status {
                return Ok((x, steps, status, direction, bundle));
            }
            x = self.step(&x, &values, &direction, eps);
            kept =
                if self.method.memory { bundle.near(self.f, &x, eps) } else { Bundle::default() };
        }
        unreachable!("the loop returns at the limit on steps")
    }

    fn direction(
        &mut self,
        x: &[f64],
        values: &[f64],
        mut bundle: Bundle,
        (eps, delta): (f64, f64),
        step: usize,
    ) -> Result<(Direction, Bundle), ParetoError> {
        let (f, c) = (self.f, self.method.c);
        for i in 0..f.count() {
            self.add(&mut bundle, i, x.to_vec())?;
        }
        for at in self.sampled(x, eps, step) {
            for i in 0..f.count() {
                self.add(&mut bundle, i, at.clone())?;
            }
        }
        loop {
            let (shortest, weights) = bundle.shortest();
            let v: Vec<f64> = shortest.iter().map(|s| -s).collect();
            let norm = f.inner(&v, &v).sqrt();
            let reach = eps / norm;
            let mut found = Direction { v, norm, weights, stalled: false };
            if norm <= delta {
                return Ok((found, bundle));
            }
            let far = moved(x, reach, &found.v);
            let ends: Vec<f64> = (0..f.count()).map(|i| self.value(i, &far)).collect();
            let falls = |i: usize| ends[i] <= values[i] - c * eps * norm;
            let bad: Vec<usize> = (0..f.count()).filter(|&i| !falls(i)).collect();
            if bad.is_empty() {
                return Ok((found, bundle));
            }
            for i in bad {
                match self.bisect(i, x, &found, (values[i], ends[i]), eps)? {
                    Some((at, xi)) => bundle.push(f, i, at, xi),
                    None => found.stalled = true,
                }
            }
            if found.stalled {
                return Ok((found, bundle));
            }
        }
    }

    /// A subgradient of objective `i` between `x` and `x + eps v / |v|` with `<v, xi> > -c |v|^2`.
    fn bisect(
        &mut self,
        i: usize,
        x: &[f64],
        direction: &Direction,
        (start, end): (f64, f64),
        eps: f64,
    ) -> Result<Option<(Point, Slope)>, ParetoError> {
        let (v, norm) = (&direction.v, direction.norm);
        let square = norm * norm;
        let (mut a, mut b) = (0.0, eps / norm);
        let least = -(end - start) / (eps * norm);
        let slope = 0.5 * (self.method.c + least);
        let mut at_b = end - start + slope * b * square;
        for _ in 0..60 {
            let t = 0.5 * (a + b);
            let at = moved(x, t, v);
            let xi = self.subgradient(i, &at)?;
            if self.f.inner(v, &xi) > -self.method.c * square {
                return Ok(Some((at, xi)));
            }
            let here = self.value(i, &at) - start + slope * t * square;
            if at_b > here {
                a = t;
            } else {
                (b, at_b) = (t, here);
            }
        }
        Ok(None)
    }

    /// Halves the step until every objective falls enough; the length `eps` always does.
    fn step(&mut self, x: &[f64], values: &[f64], direction: &Direction, eps: f64) -> Vec<f64> {
        let (v, norm) = (&direction.v, direction.norm);
        let least = eps / norm;
        let mut t = self.method.first_step.unwrap_or(1.0 / norm);
        while t > least {
            let trial = moved(x, t, v);
            let bound = self.method.c * t * norm * norm;
            if (0..values.len()).all(|i| self.value(i, &trial) <= values[i] - bound) {
                return trial;
            }
            t *= 0.5;
        }
        moved(x, least, v)
    }

    /// Random points of the ball (of the Euclidean ball, scaled to the length of the inner product).
    fn sampled(&self, x: &[f64], eps: f64, step: usize) -> Vec<Vec<f64>> {
        let (count, seed) = self.method.samples;
        let stream = Stream::new(seed).at(step as u64);
        let point = |k: usize| {
            let d: Vec<f64> = stream.at(k as u64).normal(&[x.len()], DType::F64).to_vec();
            let radius = stream.at(k as u64).child("radius").uniform(&[1], DType::F64).item();
            moved(x, eps * radius / self.f.inner(&d, &d).sqrt(), &d)
        };
        (0..count).map(point).collect()
    }

    fn add(&mut self, bundle: &mut Bundle, i: usize, at: Vec<f64>) -> Result<(), ParetoError> {
        let xi = self.subgradient(i, &at)?;
        bundle.push(self.f, i, at, xi);
        Ok(())
    }

    fn values(&mut self, x: &[f64]) -> Vec<f64> {
        self.evaluations += self.f.count();
        self.f.values(x)
    }

    fn value(&mut self, i: usize, x: &[f64]) -> f64 {
        self.evaluations += 1;
        self.f.value(i, x)
    }

    fn subgradient(&mut self, i: usize, x: &[f64]) -> Result<Vec<f64>, ParetoError> {
        self.subgradients += 1;
        let xi = self.f.subgradient(i, x);
        super::check_finite("subgradient", &xi)?;
        Ok(xi)
    }
}

/// Computes the length of a combination of subgradients anew: an upper bound of how far `x` is from `(eps, 0)`-critical. Infinite if a
/// witness lies outside the ball or the weights are not convex.
pub fn certificate(f: &dyn Objectives, x: &[f64], eps: f64, witnesses: &[Witness]) -> f64 {
    let within = |w: &Witness| {
        let away = moved(&w.at, -1.0, x);
        f.inner(&away, &away).sqrt() <= eps * (1.0 + 1e-9) && w.weight >= 0.0
    };
    let total: f64 = witnesses.iter().map(|w| w.weight).sum();
    if !witnesses.iter().all(within) || (total - 1.0).abs() > 1e-9 {
        return f64::INFINITY;
    }
    let points: Vec<Vec<f64>> =
        witnesses.iter().map(|w| f.subgradient(w.objective, &w.at)).collect();
    let weights: Vec<f64> = witnesses.iter().map(|w| w.weight).collect();
    let sum = combine(&points, &weights);
    f.inner(&sum, &sum).sqrt()
}
