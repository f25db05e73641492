//! Many optimizers fed with one training, and how the loss bends along what each would do.

use lisse_array::{Array, Tree};

use super::reading::{Layer, Norms, Reading};
use super::selection::top_share;
use crate::optimizer::{Composite, Optimizer, Oracle, State, StepInfo};

/// An optimizer whose steps are looked at but not taken.
pub struct Candidate<P> {
    /// Its name in tables.
    pub name: String,
    /// The rule. Only the direction of its steps counts; with a learning rate near 1 they are large beside the rounding of f32
    /// parameters.
    pub optimizer: Box<dyn Optimizer<P>>,
}

/// Candidates that follow one training in the same places with the same gradients.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::coordinate_clipping::{Candidate, CoordinateClipped, Known, Probe};
/// use lisse_optim::{LossOracle, Oracle, Sgd};
/// let mut steep = [1.0f64; 10];
/// steep[0] = 100.0;
/// let steep = Array::from_slice(&steep, &[10]);
/// let loss = |x: &Array| (x.square() * &steep * 0.5).sum_all();
/// let x = Array::ones(&[10], steep.dtype());
/// let probe = Probe::new(vec![
///     Candidate { name: "sgd".into(), optimizer: Box::new(Sgd::new(1.0)) },
///     Candidate { name: "clipped".into(), optimizer: Box::new(CoordinateClipped::new(0.1, Sgd::new(1.0))) },
/// ]);
/// let mut states = probe.init(&x);
/// let mut oracle = LossOracle(&loss);
/// let mut known = Known::at(&x, &mut oracle);
/// let pseudo = probe.feed(&mut states, &x, &mut known);
/// let mut test = LossOracle(&loss);
/// let readings = probe.look(&pseudo, &x, &mut [&mut test], || Ok::<(), ()>(())).unwrap();
/// assert!((readings[0].sharpness - 1000009.0 / 10009.0).abs() < 1e-9);
/// assert!((readings[1].sharpness - 10.9).abs() < 1e-12);
/// ```
pub struct Probe<P> {
    /// The candidates, in the order of the readings.
    pub candidates: Vec<Candidate<P>>,
}

/// A step that a candidate would take.
pub struct Pseudo<P> {
    /// The parameters after it.
    pub after: P,
    /// What it told.
    pub info: StepInfo,
}

/// An oracle that has looked at one point and remembers what it saw there, so that many optimizers can ask without further cost.
///
/// A point is recognised by its buffers: asked anywhere else it asks the oracle inside.
pub struct Known<'a, P> {
    inner: &'a mut dyn Oracle<P>,
    point: P,
    value: f64,
    gradient: P,
}

impl<'a, P: Tree> Known<'a, P> {
    /// Loss and gradient at `point`.
    pub fn at(point: &P, inner: &'a mut dyn Oracle<P>) -> Known<'a, P> {
        let (value, gradient) = inner.value_and_grad(point);
        Known { inner, point: point.clone(), value, gradient }
    }

    /// The gradient at the point.
    pub fn gradient(&self) -> &P {
        &self.gradient
    }

    fn is_here(&self, params: &P) -> bool {
        // The remembered point keeps its buffers alive, so no other array can have their addresses.
        self.point.leaves().iter().zip(params.leaves()).all(|(a, b)| {
            a.is_empty() || (a.buffer_id() == b.buffer_id() && a.shape() == b.shape())
        })
    }
}

impl<P: Tree> Oracle<P> for Known<'_, P> {
    fn value_and_grad(&mut self, params: &P) -> (f64, P) {
        if self.is_here(params) {
            (self.value, self.gradient.clone())
        } else {
            self.inner.value_and_grad(params)
        }
    }
    fn value(&mut self, params: &P) -> f64 {
        if self.is_here(params) { self.value } else { self.inner.value(params) }
    }
    fn hvp(&mut self, params: &P, v: &P) -> P {
        self.inner.hvp(params, v)
    }
    fn per_example_grads(&mut self, params: &P) -> Option<P> {
        self.inner.per_example_grads(params)
    }
    fn composite(&self) -> Option<&dyn Composite<P>> {
        self.inner.composite()
    }
}

impl<P: Tree> Probe<P> {
    /// A probe of these candidates.
    pub fn new(candidates: Vec<Candidate<P>>) -> Probe<P> {
        Probe { candidates }
    }

    /// The candidates' memories before the first step.
    pub fn init(&self, params: &P) -> Vec<State<P>> {
        self.candidates.iter().map(|c| c.optimizer.init(params)).collect()
    }

    /// Lets every candidate take a step of its own from `params`, which stay where they are; their memories go on.
    pub fn feed(
        &self,
        states: &mut [State<P>],
        params: &P,
        oracle: &mut Known<'_, P>,
    ) -> Vec<Pseudo<P>> {
        let step = |(candidate, state): (&Candidate<P>, &mut State<P>)| {
            let mut after = params.clone();
            let info = candidate.optimizer.step(&mut after, state, oracle);
            Pseudo { after, info }
        };
        self.candidates.iter().zip(states).map(step).collect()
    }

    /// Looks along every candidate's step from `params`, on losses of held-out batches; `tick` is called between evaluations and
    /// may stop.
    ///
    /// # Errors
    /// What `tick` says.
    pub fn look<E>(
        &self,
        pseudo: &[Pseudo<P>],
        params: &P,
        batches: &mut [&mut dyn Oracle<P>],
        mut tick: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<Reading>, E> {
        let count = batches.len() as f64;
        let (mut value, mut gradient) = (0.0, params.zeros_like());
        for batch in &mut *batches {
            tick()?;
            let (v, g) = batch.value_and_grad(params);
            value += v / count;
            gradient = gradient.axpy(1.0 / count, &g);
        }
        let place = Place { params, value, gradient };
        let candidates = self.candidates.iter().zip(pseudo);
        candidates.map(|(c, p)| place.reading(&c.name, p, batches, &mut tick)).collect()
    }
}

/// Where all candidates are compared.
struct Place<'a, P> {
    params: &'a P,
    value: f64,
    gradient: P,
}

impl<P: Tree> Place<'_, P> {
    fn reading<E>(
        &self,
        name: &str,
        pseudo: &Pseudo<P>,
        batches: &mut [&mut dyn Oracle<P>],
        tick: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<Reading, E> {
        let update = pseudo.after.axpy(-1.0, self.params);
        let norms = Norms::of(&update);
        let metric = |name| pseudo.info.metrics.iter().find(|m| m.0 == name).map(|m| m.1);
        let mut reading = Reading {
            candidate: name.to_string(),
            bound: metric("threshold"),
            clipped_share: metric("clipped_share"),
            update_top_share: top_share(&update, 0.01),
            gradient_top_share: top_share(&self.gradient, 0.01),
            norms,
            sharpness: f64::NAN,
            sharpness_error: f64::NAN,
            correlation: f64::NAN,
            cosine: f64::NAN,
            ..Reading::default()
        };
        if !(norms.l2 > 0.0 && norms.l2.is_finite()) {
            // No direction: nothing can be said along it.
            return Ok(reading);
        }
        let v = update.scale(1.0 / norms.l2);
        let (mut samples, mut bends) = (Vec::with_capacity(batches.len()), Vec::new());
        for batch in &mut *batches {
            tick()?;
            let parts = parts_of_dot(&v, &batch.hvp(self.params, &v));
            samples.push(parts.iter().sum::<f64>());
            bends.push(parts);
        }
        reading.set_sharpness(&samples);
        reading.correlation = -self.gradient.dot(&v);
        reading.cosine = reading.correlation / self.gradient.norm();
        reading.layers = self.layers(&bends);
        self.walk(&mut reading, &v, batches, tick)?;
        Ok(reading)
    }

    /// Each trained array's share of the sharpness, and how concentrated its gradient is.
    fn layers(&self, bends: &[Vec<f64>]) -> Vec<Layer> {
        let trainable = self.gradient.trainable();
        let named = self.gradient.named_leaves().into_iter().zip(trainable).enumerate();
        named
            .filter(|(_, (_, trained))| *trained)
            .map(|(i, ((path, leaf), _))| Layer {
                path,
                sharpness: bends.iter().map(|parts| parts[i]).sum::<f64>() / bends.len() as f64,
                gradient_top_share: top_share(leaf, 0.01),
            })
            .collect()
    }

    /// Losses along `v` in even steps until the loss exceeds that of the start, finer if that happens at once.
    fn walk<E>(
        &self,
        reading: &mut Reading,
        v: &P,
        batches: &mut [&mut dyn Oracle<P>],
        tick: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        /// Most points beyond the start.
        const POINTS: usize = 20;
        /// Fewer say nothing about the shape.
        const FEWEST: usize = 4;
        /// Refinements of the step, each by five.
        const REFINEMENTS: usize = 6;
        let best = reading.best_step();
        // The quadratic model's best step lies in the middle.
        let mut step = if best.is_finite() { best / (POINTS / 2) as f64 } else { 0.01 };
        for _ in 0..=REFINEMENTS {
            reading.curve = vec![(0.0, self.value)];
            for i in 1..=POINTS {
                tick()?;
                let at = i as f64 * step;
                let x = self.params.axpy(at, v);
                let count = batches.len() as f64;
                let value = batches.iter_mut().map(|b| b.value(&x)).sum::<f64>() / count;
                reading.curve.push((at, value));
                if value.is_nan() || value > self.value {
                    break;
                }
            }
            if reading.curve.len() > FEWEST {
                break;
            }
            step /= 5.0;
        }
        Ok(())
    }
}

/// Inner product leaf by leaf; 0 for leaves that are not trained.
fn parts_of_dot<P: Tree>(a: &P, b: &P) -> Vec<f64> {
    let leaves = a.leaves().into_iter().zip(b.leaves()).zip(a.trainable());
    let part = |((a, b), trained): ((&Array, &Array), bool)| {
        if trained { (a * b).sum_all().item() } else { 0.0 }
    };
    leaves.map(part).collect()
}

/// Curvature along a direction by central differences of gradients; see [`curvature_by_differences`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Differences {
    /// `v' H v` for the unit vector `v`, with the distance below.
    pub value: f64,
    /// The same with half the distance.
    pub with_half: f64,
    /// The distance `h`.
    pub distance: f64,
}

/// `v' H v` for `v = direction / |direction|` as `v' (grad f(x + h v) - grad f(x - h v)) / (2 h)`: for oracles without
/// Hessian-vector products.
///
/// Starts with `h = first` (1e-3 for f32, 1e-5 for f64 are good) and takes the first of `h, h/2, 2h, h/4, 4h, ...` whose answer
/// changes by at most 5 % when halved; if none does, the one that changes least.
pub fn curvature_by_differences<P: Tree>(
    oracle: &mut dyn Oracle<P>,
    x: &P,
    direction: &P,
    first: f64,
) -> Differences {
    const AGREEMENT: f64 = 0.05;
    const TRIES: i32 = 8;
    let v = direction.scale(1.0 / direction.norm());
    let mut along = |h: f64| {
        let (_, ahead) = oracle.value_and_grad(&x.axpy(h, &v));
        let (_, behind) = oracle.value_and_grad(&x.axpy(-h, &v));
        (v.dot(&ahead) - v.dot(&behind)) / (2.0 * h)
    };
    let mut best: Option<(f64, Differences)> = None;
    for i in 0..=TRIES {
        for power in if i == 0 { vec![0] } else { vec![-i, i] } {
            let distance = first * 2f64.powi(power);
            let (value, with_half) = (along(distance), along(distance / 2.0));
            let change = (value - with_half).abs() / value.abs().max(with_half.abs());
            let found = Differences { value, with_half, distance };
            // 0 / 0: no curvature at either distance.
            if change <= AGREEMENT || (value == 0.0 && with_half == 0.0) {
                return found;
            }
            if best.as_ref().is_none_or(|(least, _)| change < *least) {
                best = Some((change, found));
            }
        }
    }
    best.map_or(Differences { value: f64::NAN, with_half: f64::NAN, distance: first }, |(_, d)| d)
}
