//! Streams of examples: drawn, shuffled, in order; drifting or corrupted.

use std::sync::{Arc, OnceLock};

use lisse_array::random::Law;
use lisse_array::{Array, DType, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Domain, Environment, Fixed, Link, Loss, Objective, OnlineError, Setting, best_fixed, dot,
    out_of_range,
};

/// Accuracy of comparators, per round.
const TOLERANCE: f64 = 1e-10;

/// Examples as rows, with their targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    values: Vec<f64>,
    targets: Vec<f64>,
    dim: usize,
    /// Longest row and largest target.
    longest: f64,
    largest: f64,
}

impl Rows {
    /// Of `inputs` `[n, d]` and `targets` `[n]`.
    ///
    /// # Errors
    /// Shapes that do not fit; no rows; numbers that are not finite.
    pub fn new(inputs: &Array, targets: &Array) -> Result<Rows, OnlineError> {
        let [n, dim] = inputs.shape() else {
            let expected = "inputs of shape [rows, coordinates]";
            return Err(out_of_range("inputs", expected));
        };
        if *n == 0 || *dim == 0 {
            return Err(out_of_range("inputs", "at least one row and one column"));
        }
        let values = inputs.cast(DType::F64).to_vec::<f64>();
        let targets = targets.cast(DType::F64).to_vec::<f64>();
        super::check("the targets", &targets, *n, 1)?;
        super::check("the inputs", &values, n * dim, 1)?;
        let longest = values.chunks_exact(*dim).map(|a| dot(a, a).sqrt()).fold(0.0, f64::max);
        if longest == 0.0 {
            return Err(out_of_range("inputs", "at least one entry that is not 0"));
        }
        let largest = targets.iter().fold(0.0, |l: f64, y| l.max(y.abs()));
        Ok(Rows { values, targets, dim: *dim, longest, largest })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }
}

/// Which rows a round takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Independently, with replacement: an iid stream.
    #[default]
    Drawn,
    /// Without replacement, in a new random order each pass.
    Shuffled,
    /// As they come, again and again.
    Sequential,
}

/// What changes from round to round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Drift {
    /// Nothing.
    #[default]
    None,
    /// Inputs turn in the plane of the first two coordinates.
    Rotate {
        /// Radians a round.
        theta: f64,
    },
    /// Targets change their signs.
    Flip {
        /// Rounds between changes, at least 1.
        period: u64,
    },
    /// Targets of some rounds have their signs changed: a corrupted stream.
    Corrupt {
        /// Share of the rounds, from 0 to 1.
        share: f64,
    },
}

/// A loss of linear predictions on examples: the mean over the rows of a round of `link(<a, x>, y) + (l2 / 2) ||x||^2`.
#[derive(Debug)]
pub struct DataStream {
    rows: Arc<Rows>,
    domain: Domain,
    link: Link,
    batch: usize,
    order: Order,
    drift: Drift,
    l2: f64,
    random: Stream,
    /// Orders of the passes looked at so far would depend on the calls; they are all made at once when first needed.
    passes: OnceLock<Vec<Vec<usize>>>,
    rounds: u64,
    best: OnceLock<Result<Vec<f64>, OnlineError>>,
}

impl DataStream {
    /// A stream of `rounds` rounds of `batch` rows (0: all) from a seed. Rotations need a ball, flips a ball or a symmetric set about 0.
    ///
    /// # Errors
    /// Numbers out of range; a domain that does not fit; targets that do not fit the link.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        rows: Arc<Rows>,
        domain: Domain,
        link: Link,
        batch: usize,
        order: Order,
        drift: Drift,
        l2: f64,
        rounds: u64,
        seed: u64,
    ) -> Result<DataStream, OnlineError> {
        domain.validate(rows.dim)?;
        if batch > rows.len() {
            let expected = format!("at most the number of rows, {}, or 0 for all", rows.len());
            return Err(out_of_range("batch", &expected));
        }
        if !(l2 >= 0.0 && l2.is_finite()) {
            return Err(out_of_range("l2", "a number of at least 0"));
        }
        if link.is_margin() && rows.targets.iter().any(|y| y.abs() != 1.0) {
            return Err(out_of_range("targets", "-1 and 1 for this loss"));
        }
        match drift {
            Drift::Rotate { theta } if !theta.is_finite() => {
                return Err(out_of_range("drift.theta", "a number"));
            }
            Drift::Rotate { .. } if rows.dim < 2 => {
                return Err(out_of_range("drift", "another than rotate for one coordinate"));
            }
            Drift::Flip { period: 0 } => return Err(out_of_range("drift.period", "at least 1")),
            Drift::Corrupt { share } if !(0.0..=1.0).contains(&share) => {
                return Err(out_of_range("drift.share", "a number from 0 to 1"));
            }
            _ => {}
        }
        if drift != Drift::None && !domain.is_round() {
            return Err(out_of_range("domain", "a ball, on which a drift moves the optimum along"));
        }
        let random = Stream::new(seed).child("data");
        Ok(DataStream {
            batch: if batch == rows.len() { 0 } else { batch },
            rows,
            domain,
            link,
            order,
            drift,
            l2,
            random,
            passes: OnceLock::new(),
            rounds,
            best: OnceLock::new(),
        })
    }

    fn chosen(&self, t: u64) -> Option<Vec<usize>> {
        let (n, b) = (self.rows.len(), self.batch);
        if b == 0 {
            return None;
        }
        let first = (t - 1) as usize * b;
        Some(match self.order {
            Order::Drawn => {
                let draw = self.random.child("rows").at(t);
                (0..b as u64).map(|j| draw.below_at(j, n as u64) as usize).collect()
            }
            Order::Sequential => (first..first + b).map(|i| i % n).collect(),
            Order::Shuffled => {
                let passes = self.passes.get_or_init(|| {
                    let count = (self.rounds * b as u64).div_ceil(n as u64);
                    let stream = self.random.child("passes");
                    (0..count).map(|p| stream.at(p).permutation(n)).collect()
                });
                let at = |i: usize| match passes.get(i / n) {
                    Some(pass) => pass[i % n],
                    None => self.random.child("passes").at((i / n) as u64).permutation(n)[i % n],
                };
                (first..first + b).map(at).collect()
            }
        })
    }

    /// Cosine and sine of the rotation, and the sign of targets.
    fn concept(&self, t: u64) -> (f64, f64, f64) {
        match self.drift {
            Drift::None => (1.0, 0.0, 1.0),
            Drift::Rotate { theta } => {
                let (sin, cos) = (theta * (t - 1) as f64).sin_cos();
                (cos, sin, 1.0)
            }
            Drift::Flip { period } => {
                (1.0, 0.0, if ((t - 1) / period).is_multiple_of(2) { 1.0 } else { -1.0 })
            }
            Drift::Corrupt { share } => {
                let uniform = Law::Uniform { lo: 0.0, hi: 1.0 };
                let hit = self.random.child("corrupt").at(t).value_at(uniform, 0) < share;
                (1.0, 0.0, if hit { -1.0 } else { 1.0 })
            }
        }
    }

    /// `f_t`.
    pub fn example_loss(&self, t: u64) -> Round<'_> {
        let (cos, sin, sign) = self.concept(t);
        Round { stream: self, chosen: self.chosen(t), cos, sin, sign }
    }

    /// `F_t`: the same on all rows. For shuffled and sequential orders this is the mean over a pass.
    fn mean_loss(&self, t: u64) -> Round<'_> {
        let (cos, sin, sign) = self.concept(t);
        Round { stream: self, chosen: None, cos, sin, sign }
    }

    /// The minimizer of the loss on all rows as they are.
    fn base(&self) -> Result<&[f64], OnlineError> {
        let found = self.best.get_or_init(|| {
            let plain = Round { stream: self, chosen: None, cos: 1.0, sin: 0.0, sign: 1.0 };
            let sum = RoundSum { dim: self.rows.dim, rounds: vec![(plain, 1.0)] };
            best_fixed(&sum, &self.domain, TOLERANCE).map(|fixed| fixed.point)
        });
        found.as_deref().map_err(Clone::clone)
    }

    /// The first rounds; those that are equal are counted once.
    fn sum(&self, rounds: u64) -> RoundSum<'_> {
        let mut list: Vec<(Round<'_>, f64)> = Vec::new();
        let few = self.batch == 0 && !matches!(self.drift, Drift::Rotate { .. });
        for t in 1..=rounds {
            let round = self.example_loss(t);
            let same = few.then(|| list.iter_mut().find(|(other, _)| other.sign == round.sign));
            match same.flatten() {
                Some((_, weight)) => *weight += 1.0,
                None => list.push((round, 1.0)),
            }
        }
        for (_, weight) in &mut list {
            *weight /= rounds as f64;
        }
        RoundSum { dim: self.rows.dim, rounds: list }
    }

    /// Points at which drifts are measured: 0 and a few on the sphere of half the radius.
    fn probes(&self) -> Vec<Vec<f64>> {
        let d = self.rows.dim;
        let sphere = Stream::new(0).child("probes").sphere(&[4, d], DType::F64).to_vec::<f64>();
        let radius = 0.5 * self.domain.radius(d);
        let around = sphere.chunks_exact(d).map(|p| p.iter().map(|x| radius * x).collect());
        std::iter::once(vec![0.0; d]).chain(around).collect()
    }
}

/// The loss of one round of a [`DataStream`].
#[derive(Clone, Debug)]
pub struct Round<'a> {
    stream: &'a DataStream,
    /// `None` for all rows.
    chosen: Option<Vec<usize>>,
    cos: f64,
    sin: f64,
    sign: f64,
}

impl Round<'_> {
    fn count(&self) -> usize {
        self.chosen.as_ref().map_or(self.stream.rows.len(), Vec::len)
    }

    fn index(&self, k: usize) -> usize {
        self.chosen.as_ref().map_or(k, |chosen| chosen[k])
    }

    /// `R^T x`: turning the point back is cheaper than turning the rows.
    fn turned_back(&self, x: &[f64]) -> Vec<f64> {
        let mut y = x.to_vec();
        if self.sin != 0.0 || self.cos != 1.0 {
            y[0] = self.cos * x[0] + self.sin * x[1];
            y[1] = self.cos * x[1] - self.sin * x[0];
        }
        y
    }

    /// `g <- R g`
    fn turn(&self, g: &mut [f64]) {
        if self.sin != 0.0 || self.cos != 1.0 {
            (g[0], g[1]) = (self.cos * g[0] - self.sin * g[1], self.sin * g[0] + self.cos * g[1]);
        }
    }

    /// `H <- R H R^T`
    fn turn_both(&self, h: &mut [f64], d: usize) {
        if self.sin == 0.0 && self.cos == 1.0 {
            return;
        }
        for row in h.chunks_exact_mut(d) {
            self.turn(row);
        }
        for j in 0..d {
            let (a, b) = (h[j], h[d + j]);
            (h[j], h[d + j]) = (self.cos * a - self.sin * b, self.sin * a + self.cos * b);
        }
    }

    fn target(&self, i: usize) -> f64 {
        self.sign * self.stream.rows.targets[i]
    }

    /// Adds `weight` times value, gradient and Hessian, smoothed by `width`.
    fn add_derivatives(
        &self,
        x: &[f64],
        width: f64,
        weight: f64,
        gradient: &mut [f64],
        hessian: &mut [f64],
    ) -> f64 {
        let (d, l2) = (x.len(), self.stream.l2);
        let y = self.turned_back(x);
        let share = 1.0 / self.count() as f64;
        let (mut value, mut g, mut h) = (0.0, vec![0.0; d], vec![0.0; d * d]);
        for k in 0..self.count() {
            let i = self.index(k);
            let a = self.stream.rows.row(i);
            let (v, slope, curvature) =
                self.stream.link.smoothed(dot(a, &y), self.target(i), width);
            value += share * v;
            for (p, ap) in a.iter().enumerate() {
                g[p] += share * slope * ap;
                let factor = share * curvature * ap;
                for (entry, aq) in h[p * d..(p + 1) * d].iter_mut().zip(a) {
                    *entry += factor * aq;
                }
            }
        }
        self.turn(&mut g);
        self.turn_both(&mut h, d);
        for p in 0..d {
            gradient[p] += weight * (g[p] + l2 * x[p]);
            hessian[p * d + p] += weight * l2;
        }
        for (entry, new) in hessian.iter_mut().zip(&h) {
            *entry += weight * new;
        }
        weight * (value + 0.5 * l2 * dot(x, x))
    }

    /// Dual coordinate ascent: `x = P_X(v - (step / B) sum p_i a_i)` where every `p_i` is a slope of its example's loss at `x`. Each `p_i` in
    /// turn is found by bisection, since the slope rises with `<a_i, x>`, and that falls with `p_i`.
    fn dual_prox(
        &self,
        domain: &Domain,
        v: &[f64],
        step: f64,
        out: &mut [f64],
    ) -> Result<(), OnlineError> {
        let count = self.count();
        let rate = step / count as f64;
        let rows: Vec<Vec<f64>> = (0..count)
            .map(|k| {
                let mut a = self.stream.rows.row(self.index(k)).to_vec();
                self.turn(&mut a);
                a
            })
            .collect();
        let mut p = vec![0.0; count];
        let mut free = v.to_vec();
        let mut moved = f64::INFINITY;
        for _ in 0..2000 {
            moved = 0.0;
            for (k, a) in rows.iter().enumerate() {
                add(&mut free, rate * p[k], a);
                let slopes = |slope: f64| {
                    let mut x = free.clone();
                    add(&mut x, -rate * slope, a);
                    domain.project(&mut x);
                    self.stream.link.slopes(dot(a, &x), self.target(self.index(k)))
                };
                let new = meeting_point(slopes);
                moved = f64::max(moved, (new - p[k]).abs() / (1.0 + new.abs()));
                p[k] = new;
                add(&mut free, -rate * new, a);
            }
            // One example is solved by one bisection.
            if moved <= 1e-12 || count == 1 {
                out.copy_from_slice(&free);
                domain.project(out);
                return Ok(());
            }
        }
        Err(OnlineError::NoConvergence { what: "the proximal step of a batch", residual: moved })
    }
}

/// `v <- v + factor a`
fn add(v: &mut [f64], factor: f64, a: &[f64]) {
    for (v, a) in v.iter_mut().zip(a) {
        *v += factor * a;
    }
}

/// The `p` that lies between the two slopes at `p`, which do not rise with it.
fn meeting_point(slopes: impl Fn(f64) -> (f64, f64)) -> f64 {
    let (low, high) = slopes(0.0);
    if low <= 0.0 && high >= 0.0 {
        return 0.0;
    }
    let (mut from, mut to) = if low > 0.0 { (0.0, high) } else { (low, 0.0) };
    for _ in 0..200 {
        let middle = f64::midpoint(from, to);
        if middle <= from || middle >= to {
            break;
        }
        let (low, high) = slopes(middle);
        if middle < low {
            from = middle;
        } else if middle > high {
            to = middle;
        } else {
            return middle;
        }
    }
    f64::midpoint(from, to)
}

impl Loss for Round<'_> {
    fn value(&self, x: &[f64]) -> f64 {
        let y = self.turned_back(x);
        let term = |k: usize| {
            let i = self.index(k);
            self.stream.link.value(dot(self.stream.rows.row(i), &y), self.target(i))
        };
        let sum: f64 = (0..self.count()).map(term).sum();
        sum / self.count() as f64 + 0.5 * self.stream.l2 * dot(x, x)
    }

    fn gradient(&self, x: &[f64], out: &mut [f64]) {
        let y = self.turned_back(x);
        let share = 1.0 / self.count() as f64;
        out.fill(0.0);
        for k in 0..self.count() {
            let i = self.index(k);
            let a = self.stream.rows.row(i);
            let slope = self.stream.link.slope(dot(a, &y), self.target(i));
            add(out, share * slope, a);
        }
        self.turn(out);
        add(out, self.stream.l2, x);
    }

    /// By Newton's method for smooth losses of several examples, else by bisection on the slopes.
    fn prox(
        &self,
        domain: &Domain,
        v: &[f64],
        step: f64,
        out: &mut [f64],
    ) -> Result<(), OnlineError> {
        let shrink = 1.0 / (1.0 + step * self.stream.l2);
        let centre: Vec<f64> = v.iter().map(|v| shrink * v).collect();
        let step = shrink * step;
        if !self.stream.link.is_smooth() || self.count() == 1 {
            return self.dual_prox(domain, &centre, step, out);
        }
        let near = Near { round: self, centre, step };
        out.copy_from_slice(&best_fixed(&near, domain, 1e-13)?.point);
        Ok(())
    }
}

/// A round's loss without its penalty, plus `||x - centre||^2 / (2 step)`.
struct Near<'a> {
    round: &'a Round<'a>,
    centre: Vec<f64>,
    step: f64,
}

impl Objective for Near<'_> {
    fn dim(&self) -> usize {
        self.centre.len()
    }

    fn value(&self, x: &[f64]) -> f64 {
        let l2 = self.round.stream.l2;
        let distance = super::distance_squared(x, &self.centre);
        self.round.value(x) - 0.5 * l2 * dot(x, x) + 0.5 * distance / self.step
    }

    fn derivatives(&self, x: &[f64], width: f64, gradient: &mut [f64], hessian: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        hessian.fill(0.0);
        let (d, l2) = (x.len(), self.round.stream.l2);
        let value = self.round.add_derivatives(x, width, 1.0, gradient, hessian);
        for p in 0..d {
            gradient[p] += (x[p] - self.centre[p]) / self.step - l2 * x[p];
            hessian[p * d + p] += 1.0 / self.step - l2;
        }
        let distance = super::distance_squared(x, &self.centre);
        value - 0.5 * l2 * dot(x, x) + 0.5 * distance / self.step
    }
}

/// The weighted sum of rounds; rounds are gone through in parallel, in blocks that do not depend on the number of threads.
struct RoundSum<'a> {
    dim: usize,
    rounds: Vec<(Round<'a>, f64)>,
}

const BLOCK: usize = 32;

impl Objective for RoundSum<'_> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn value(&self, x: &[f64]) -> f64 {
        let parts: Vec<f64> = self
            .rounds
            .par_chunks(BLOCK)
            .map(|block| block.iter().map(|(round, weight)| weight * round.value(x)).sum())
            .collect();
        parts.iter().sum()
    }

    fn derivatives(&self, x: &[f64], width: f64, gradient: &mut [f64], hessian: &mut [f64]) -> f64 {
        let d = self.dim;
        let part = |block: &[(Round<'_>, f64)]| {
            let (mut value, mut g, mut h) = (0.0, vec![0.0; d], vec![0.0; d * d]);
            for (round, weight) in block {
                value += round.add_derivatives(x, width, *weight, &mut g, &mut h);
            }
            (value, g, h)
        };
        let parts: Vec<_> = self.rounds.par_chunks(BLOCK).map(part).collect();
        gradient.fill(0.0);
        hessian.fill(0.0);
        let mut value = 0.0;
        for (v, g, h) in &parts {
            value += v;
            add(gradient, 1.0, g);
            add(hessian, 1.0, h);
        }
        value
    }

    fn slack(&self, width: f64) -> f64 {
        let smooth = self.rounds.iter().all(|(round, _)| round.stream.link.is_smooth());
        if smooth { 0.0 } else { width }
    }
}

impl Environment for DataStream {
    fn setting(&self) -> Setting {
        let d = self.rows.dim;
        let radius = self.domain.radius(d);
        let (longest, largest) = (self.rows.longest, self.rows.largest);
        let reach = longest * radius;
        let bound = longest * self.link.steepest(reach, largest) + self.l2 * radius;
        Setting {
            smoothness: self.link.curvature().map(|c| c * longest * longest + self.l2),
            strong_convexity: (self.l2 > 0.0).then_some(self.l2),
            // A mean of exp-concave losses is as exp-concave; a penalty may only be counted where it stands alone.
            exp_concavity: self.link.exp_concavity(reach, largest).filter(|_| self.l2 == 0.0),
            ..Setting::new(self.domain.clone(), d, bound)
        }
    }

    fn round(&self, t: u64) -> Box<dyn Loss + '_> {
        Box::new(self.example_loss(t))
    }

    fn best_fixed(&self, rounds: u64) -> Result<Fixed, OnlineError> {
        if rounds == 0 {
            return Err(out_of_range("rounds", "at least 1"));
        }
        best_fixed(&self.sum(rounds), &self.domain, TOLERANCE)
    }

    fn best_at(&self, t: u64) -> Result<Vec<f64>, OnlineError> {
        let mut best = self.base()?.to_vec();
        let round = self.mean_loss(t);
        round.turn(&mut best);
        // Changed signs of all targets change the sign of the minimizer: losses depend on `y z` or `z - y`, and the set is symmetric.
        for v in &mut best {
            *v *= round.sign;
        }
        Ok(best)
    }

    fn difficulty(&self, t: u64) -> (f64, f64) {
        let d = self.rows.dim;
        let mean = self.mean_loss(t);
        let before = (t > 1).then(|| self.mean_loss(t - 1));
        let still = before
            .as_ref()
            .is_some_and(|b| (b.cos, b.sin, b.sign) == (mean.cos, mean.sin, mean.sign));
        let drawn = self.batch > 0;
        if still && !drawn {
            return (0.0, 0.0);
        }
        let sample = self.example_loss(t);
        let (mut sigma, mut drift) = (0.0, 0.0);
        let (mut g, mut other) = (vec![0.0; d], vec![0.0; d]);
        for probe in self.probes() {
            mean.gradient(&probe, &mut g);
            if drawn {
                sample.gradient(&probe, &mut other);
                sigma = f64::max(sigma, super::distance_squared(&g, &other));
            }
            match &before {
                Some(before) if !still => {
                    before.gradient(&probe, &mut other);
                    drift = f64::max(drift, super::distance_squared(&g, &other));
                }
                Some(_) => {}
                None => drift = f64::max(drift, dot(&g, &g)),
            }
        }
        (sigma, drift)
    }

    fn excess(&self, x: &[f64]) -> Result<Option<f64>, OnlineError> {
        if self.drift != Drift::None {
            return Ok(None);
        }
        let loss = self.mean_loss(1);
        Ok(Some(loss.value(x) - loss.value(self.base()?)))
    }
}
