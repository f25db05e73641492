//! Penalty and value-function methods of other authors, with gradients only.

use super::{Decay, Solver, State, refuse_constraints};
use crate::bilevel::vector::{axpy, dot, sub};
use crate::bilevel::{Batch, BilevelError, Oracle, Purpose, Samples, Wrt};

/// F2SA (Kwon, Kwon, Wright, Nowak 2023), for strongly convex lower problems: with a weight `lambda` that grows by `delta`,
///
/// ```text
/// inner times:  y -= a (df/dy(x, y) + lambda dg/dy(x, y))      z -= c dg/dy(x, z)
/// x -= b (df/dx(x, y) + lambda (dg/dx(x, y) - dg/dx(x, z)))
/// ```
///
/// The two `dg/dx` share a batch. With a set for `y` the steps are projected if `projected`; without, they leave it. `recursive`
/// replaces every gradient stream by its recursive-momentum estimate (F3SA). Numbers: `lambda`. Memory: previous `x`, `y`, `z` and the
/// five streams, if recursive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct F2sa {
    /// Step size of `y`.
    pub a: Decay,
    /// Step size of `z`.
    pub c: Decay,
    /// Step size of `x`.
    pub b: Decay,
    /// First weight.
    pub lambda: f64,
    /// Growth of the weight.
    pub delta: Decay,
    /// Inner steps.
    pub inner: usize,
    /// Whether `y` and `z` are projected onto their set.
    pub projected: bool,
    /// Share of the new gradient in the recursion; `None` for plain gradients. Needs `inner = 1`.
    pub recursive: Option<Decay>,
}

impl Default for F2sa {
    /// The settings of the public JAX benchmark.
    fn default() -> F2sa {
        F2sa {
            a: Decay { first: 0.01, power: 5.0 / 7.0 },
            c: Decay { first: 0.01, power: 4.0 / 7.0 },
            b: Decay { first: 0.01, power: 4.0 / 7.0 },
            lambda: 1.0,
            delta: Decay { first: 0.1, power: 1.0 / 7.0 },
            inner: 10,
            projected: true,
            recursive: None,
        }
    }
}

/// A stream of gradient estimates: `d = g(now) + (1 - eta) (d - g(before))`, both on the new sample.
pub(crate) fn recurse(stream: &mut Vec<f64>, now: Vec<f64>, before: Option<Vec<f64>>, eta: f64) {
    *stream = match before {
        Some(before) if !stream.is_empty() => now
            .iter()
            .zip(stream.iter().zip(&before))
            .map(|(n, (d, b))| n + (1.0 - eta) * (d - b))
            .collect(),
        _ => now,
    };
}

impl F2sa {
    fn plain(&self, state: &mut State, oracle: &mut Oracle<'_>, samples: &Samples, lambda: f64) {
        let k = state.step;
        let (a, c) = (self.a.at(k), self.c.at(k));
        for t in 0..self.inner as u64 {
            let round = k * self.inner as u64 + t;
            let lower = samples.lower.at(round, 20);
            let mut direction = oracle.upper_y(&state.x, &state.y, &samples.upper.at(round, 21));
            axpy(&mut direction, lambda, &oracle.lower_y(&state.x, &state.y, &lower));
            let second = oracle.lower_y(&state.x, &state.z, &lower);
            axpy(&mut state.y, -a, &direction);
            axpy(&mut state.z, -c, &second);
            self.confine(state, oracle);
        }
        let lower = samples.draw(k, Purpose::Cross);
        let (x, y, z) = (&state.x, &state.y, &state.z);
        let mut direction = oracle.upper_x(x, y, &samples.draw(k, Purpose::UpperX));
        let difference = sub(&oracle.lower_x(x, y, &lower), &oracle.lower_x(x, z, &lower));
        axpy(&mut direction, lambda, &difference);
        state.direction = direction;
    }

    fn confine(&self, state: &mut State, oracle: &mut Oracle<'_>) {
        if self.projected {
            oracle.project_y(&mut state.y);
            oracle.project_y(&mut state.z);
        }
    }

    /// F3SA: all five streams from one sample, at this point and the previous one.
    fn recursive(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
        (lambda, eta): (f64, f64),
    ) {
        let k = state.step;
        let (upper, lower) = (samples.upper.at(k, 22), samples.lower.at(k, 23));
        let mut gradients = |x: &[f64], y: &[f64], z: &[f64]| {
            let f = oracle.upper(x, y, &upper, Wrt::Both);
            let (at_y, at_z) =
                (oracle.lower(x, y, &lower, Wrt::Both), oracle.lower(x, z, &lower, Wrt::Both));
            [f.y, at_y.y, at_z.y, f.x, sub(&at_y.x, &at_z.x)]
        };
        let now = gradients(&state.x, &state.y, &state.z);
        let before = (state.memory.len() == 8)
            .then(|| gradients(&state.memory[0], &state.memory[1], &state.memory[2]));
        let mut before = before.map(IntoIterator::into_iter);
        let mut streams: Vec<Vec<f64>> = state.memory.drain(..).skip(3).collect();
        streams.resize(5, Vec::new());
        for (stream, now) in streams.iter_mut().zip(now) {
            recurse(stream, now, before.as_mut().and_then(Iterator::next), eta);
        }
        state.memory = vec![state.x.clone(), state.y.clone(), state.z.clone()];
        let (a, c) = (self.a.at(k), self.c.at(k));
        axpy(&mut state.y, -a, &streams[0]);
        axpy(&mut state.y, -a * lambda, &streams[1]);
        axpy(&mut state.z, -c, &streams[2]);
        let mut direction = streams[3].clone();
        axpy(&mut direction, lambda, &streams[4]);
        state.direction = direction;
        state.memory.extend(streams);
        self.confine(state, oracle);
    }
}

impl Solver for F2sa {
    fn name(&self) -> &'static str {
        if self.recursive.is_some() { "F3SA" } else { "F2SA" }
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        refuse_constraints(self.name(), oracle, false)?;
        oracle.check(x, y)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        (state.z, state.numbers) = (y.to_vec(), vec![self.lambda]);
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        let (k, lambda) = (state.step, state.numbers[0]);
        match self.recursive {
            Some(eta) => self.recursive(state, oracle, samples, (lambda, eta.at(k))),
            None => self.plain(state, oracle, samples, lambda),
        }
        state.numbers[0] += self.delta.at(k);
        state.descend(self.b.at(k), oracle)
    }
}

/// PBGD (Shen, Chen 2023): `z` takes `inner` steps on `g(x, .)` from its last value, then both variables move along
/// `f + weight (g(x, y) - g(x, z))`, projected. The weight is fixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pbgd {
    /// Step size of `x` and `y`.
    pub step: Decay,
    /// Step size of `z`.
    pub inner_step: f64,
    /// Weight of the lower gap.
    pub weight: f64,
    /// Lower steps.
    pub inner: usize,
}

impl Solver for Pbgd {
    fn name(&self) -> &'static str {
        "PBGD"
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        refuse_constraints(self.name(), oracle, false)?;
        oracle.check(x, y)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        state.z = y.to_vec();
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        let k = state.step;
        lower_steps(state, oracle, samples, self.inner, self.inner_step);
        let lower = samples.draw(k, Purpose::LowerGradient);
        let (x, y, z) = (&state.x, &state.y, &state.z);
        let f = oracle.upper(x, y, &samples.draw(k, Purpose::UpperY), Wrt::Both);
        let at_y = oracle.lower(x, y, &lower, Wrt::Both);
        let at_z = oracle.lower_x(x, z, &lower);
        let (mut dx, mut dy) = (f.x, f.y);
        axpy(&mut dx, self.weight, &sub(&at_y.x, &at_z));
        axpy(&mut dy, self.weight, &at_y.y);
        let step = self.step.at(k);
        axpy(&mut state.y, -step, &dy);
        oracle.project_y(&mut state.y);
        state.direction = dx;
        state.descend(step, oracle)
    }
}

fn lower_steps(
    state: &mut State,
    oracle: &mut Oracle<'_>,
    samples: &Samples,
    count: usize,
    size: f64,
) {
    for t in 0..count as u64 {
        let batch: Batch = samples.lower.at(state.step * count as u64 + t, 30);
        let gradient = oracle.lower_y(&state.x, &state.z, &batch);
        axpy(&mut state.z, -size, &gradient);
        oracle.project_y(&mut state.z);
    }
}

/// BOME (Ye, Liu, Wright, Stone, Liu 2022): with `q = g(x, y) - g(x, y_T)`, `y_T` after `inner` lower steps from `y` and constant,
/// both variables move along `grad f + lambda grad q`, `lambda = max(0, (rate |grad q|^2 - <grad f, grad q>) / |grad q|^2)`.
/// Unconstrained in `y`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bome {
    /// Step size of `x` and `y`.
    pub step: Decay,
    /// Step size of the lower steps.
    pub inner_step: f64,
    /// How fast `q` shall fall; 0.5.
    pub rate: f64,
    /// Lower steps; 10.
    pub inner: usize,
}

impl Solver for Bome {
    fn name(&self) -> &'static str {
        "BOME"
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        let k = state.step;
        state.z = state.y.clone();
        lower_steps(state, oracle, samples, self.inner, self.inner_step);
        let lower = samples.draw(k, Purpose::LowerGradient);
        let (x, y, z) = (&state.x, &state.y, &state.z);
        let f = oracle.upper(x, y, &samples.draw(k, Purpose::UpperY), Wrt::Both);
        let at_y = oracle.lower(x, y, &lower, Wrt::Both);
        let qx = sub(&at_y.x, &oracle.lower_x(x, z, &lower));
        let square = dot(&qx, &qx) + dot(&at_y.y, &at_y.y);
        let along = dot(&f.x, &qx) + dot(&f.y, &at_y.y);
        let lambda =
            if square > 0.0 { ((self.rate * square - along) / square).max(0.0) } else { 0.0 };
        let (mut dx, mut dy) = (f.x, f.y);
        axpy(&mut dx, lambda, &qx);
        axpy(&mut dy, lambda, &at_y.y);
        let step = self.step.at(k);
        axpy(&mut state.y, -step, &dy);
        state.direction = dx;
        state.descend(step, oracle)
    }
}
