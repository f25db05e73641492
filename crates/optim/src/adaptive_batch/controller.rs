//! How large the next batch should be.

use serde::{Deserialize, Serialize};

use super::{Question, Spread, Wanted};
use crate::config::{OutOfRange, fail};
use crate::optimizer::State;

/// When a batch is too small. With `g` the mean of the batch's `b` gradients `g_i` and `V` their variance by coordinate, each test
/// bounds the noise of `g` by its size; the *need* is the number of examples at which it would just hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Test {
    /// `|V|_1 / b <= eta^2 |g|^2`; the need at `eta = 1` is the gradient noise scale.
    Norm {
        /// Usually 0.05 to 1; the need goes with `eta^-2`.
        #[serde(default = "tenth")]
        eta: f64,
    },
    /// `Var_i <g_i, g> / b <= theta^2 |g|^4`: noise along the gradient only.
    InnerProduct {
        /// As `eta`.
        #[serde(default = "tenth")]
        theta: f64,
    },
    /// The inner-product test, and a bound on the noise across the gradient: `Var_i(o_i) / b <= nu^2 |g|^2` with
    /// `o_i = g_i - (<g_i, g> / |g|^2) g`.
    Augmented {
        /// As in the inner-product test.
        #[serde(default = "tenth")]
        theta: f64,
        /// Across the gradient.
        #[serde(default = "tenth")]
        nu: f64,
    },
    /// `V_j / b <= eta^2 g_j^2` for every coordinate `j`: what AdaGrad's theory asks for. One coordinate whose gradient is about to
    /// vanish asks for everything; a `quantile` below 1 lets such be.
    Coordinate {
        /// As in the norm test.
        #[serde(default = "tenth")]
        eta: f64,
        /// Share of the coordinates that must pass: 1 for all.
        #[serde(default = "one")]
        quantile: f64,
    },
    /// No test: these sizes one after another, each for an equal share of the examples.
    Stages {
        /// The sizes.
        sizes: Vec<usize>,
    },
    /// No test: larger by so many examples with every step.
    Ramp {
        /// Examples per step.
        by: usize,
    },
}

fn tenth() -> f64 {
    0.1
}
fn one() -> f64 {
    1.0
}
fn every_step() -> u64 {
    1
}
fn single() -> usize {
    1
}

/// How the learning rate follows the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coupling {
    /// Not at all, as in the paper.
    #[default]
    None,
    /// In proportion to `b / b_0`.
    Linear,
    /// In proportion to `sqrt(b / b_0)`.
    SquareRoot,
}

/// A [`Test`] and what surrounds it. All but the test is off by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// When a batch is too small.
    pub test: Test,
    /// `b_0`, at least 2: one gradient has no variance. In a recipe the training's own batch size if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<usize>,
    /// `b_max`. In a recipe all training examples if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<usize>,
    /// Steps between two tests.
    #[serde(default = "every_step")]
    pub interval: u64,
    /// Largest factor of one growth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<f64>,
    /// Decay of exponential averages of a test's numerator and denominator, each by itself; 0 for none. The coordinate test averages
    /// its quotient.
    #[serde(default)]
    pub average: f64,
    /// Tests before the first growth, whose needs are then averaged: a tiny batch may happen on a tiny gradient.
    #[serde(default)]
    pub settle: u64,
    /// Grows only when the need exceeds this many times the batch.
    #[serde(default = "one")]
    pub hysteresis: f64,
    /// Sizes are multiples of this: what a device takes at once, or the number of ranks.
    #[serde(default = "single")]
    pub multiple: usize,
    /// Whether batches may become smaller again, down to the initial size.
    #[serde(default)]
    pub shrink: bool,
    /// How the learning rate follows.
    #[serde(default)]
    pub coupling: Coupling,
    /// Into how many micro-batches to part the batch, to look at their means in place of single examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batches: Option<usize>,
    /// Reports needs and changes nothing: a meter of gradient noise.
    #[serde(default)]
    pub measure_only: bool,
    /// Examples in the whole training, for [`Test::Stages`]; recipes fill it in.
    #[serde(skip)]
    pub budget: u64,
}

/// What a controller remembers, kept among the numbers of an optimizer's [`State`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// The size of the next batch.
    pub size: usize,
    /// Examples used so far.
    pub examples: u64,
    /// Steps taken.
    pub steps: u64,
    /// Tests made.
    pub tests: u64,
    /// Sum of the needs while settling.
    settling: f64,
    /// Weight of the averages: `1 - decay^tests`.
    weight: f64,
    averages: Numbers,
}

/// What the tests compare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Numbers {
    total: f64,
    along: f64,
    across: f64,
    ratio: f64,
    squared_norm: f64,
}

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Examples at which the test would just hold; infinite where noise is left and no gradient; NaN where the spread is none
    /// (fewer than two observations, or not finite).
    pub need: f64,
    /// The size of the next batch.
    pub next: usize,
    /// The gradient vanished in its noise: only the largest batch can see one.
    pub noise_floor: bool,
}

impl Controller {
    /// The test from `initial` to `largest` examples, all else off.
    pub fn new(test: Test, initial: usize, largest: usize) -> Controller {
        Controller {
            test,
            initial: Some(initial),
            largest: Some(largest),
            interval: 1,
            growth: None,
            average: 0.0,
            settle: 0,
            hysteresis: 1.0,
            multiple: 1,
            shrink: false,
            coupling: Coupling::None,
            micro_batches: None,
            measure_only: false,
            budget: 0,
        }
    }

    /// The norm test.
    pub fn norm(eta: f64, initial: usize, largest: usize) -> Controller {
        Controller::new(Test::Norm { eta }, initial, largest)
    }

    /// The inner-product test.
    pub fn inner_product(theta: f64, initial: usize, largest: usize) -> Controller {
        Controller::new(Test::InnerProduct { theta }, initial, largest)
    }

    /// The augmented inner-product test.
    pub fn augmented(theta: f64, nu: f64, initial: usize, largest: usize) -> Controller {
        Controller::new(Test::Augmented { theta, nu }, initial, largest)
    }

    /// The coordinate-wise norm test.
    pub fn coordinate(eta: f64, initial: usize, largest: usize) -> Controller {
        Controller::new(Test::Coordinate { eta, quantile: 1.0 }, initial, largest)
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        self.test.validate()?;
        if self.initial.is_some_and(|b| b < 2) {
            return fail("initial", "at least 2 examples: one gradient has no variance");
        }
        if self.largest.is_some_and(|b| b < self.initial.unwrap_or(2)) {
            return fail("largest", "at least `initial` (and 2)");
        }
        if self.interval == 0 {
            return fail("interval", "at least 1 step");
        }
        if self.growth.is_some_and(|c| !(c > 1.0 && c.is_finite())) {
            return fail("growth", "a number above 1 (usually 2 to 10)");
        }
        if !(0.0..1.0).contains(&self.average) {
            return fail("average", "a number from 0 to below 1 (0.9 averages some ten tests)");
        }
        if !(positive(self.hysteresis) && self.hysteresis >= 1.0) {
            return fail("hysteresis", "a number of at least 1 (usually 1.1)");
        }
        if self.multiple == 0 {
            return fail("multiple", "at least 1");
        }
        if self.micro_batches.is_some_and(|parts| parts < 2) {
            return fail("micro_batches", "at least 2: one mean has no variance");
        }
        Ok(())
    }

    /// `b_0`; 2 where nothing else was said.
    pub fn initial(&self) -> usize {
        self.allowed(self.initial.unwrap_or(2).max(2))
    }

    fn largest(&self) -> usize {
        self.largest.unwrap_or(usize::MAX).max(1)
    }

    /// A size rounded up to a multiple, and not above the largest.
    fn allowed(&self, size: usize) -> usize {
        let rounded = size.div_ceil(self.multiple.max(1)).saturating_mul(self.multiple.max(1));
        rounded.min(self.largest())
    }

    /// What is to be measured in the coming step; `None` where nothing is: between two tests, at the largest size, without a test.
    pub fn question(&self, memory: &Memory) -> Option<Question> {
        let wanted = match self.test {
            Test::Norm { .. } | Test::InnerProduct { .. } | Test::Augmented { .. } => {
                Wanted::Numbers
            }
            Test::Coordinate { .. } => Wanted::Coordinates,
            Test::Stages { .. } | Test::Ramp { .. } => return None,
        };
        let full = memory.size >= self.largest() && !self.shrink && !self.measure_only;
        let due = memory.steps.is_multiple_of(self.interval.max(1)) && !full;
        due.then_some(Question { wanted, parts: self.micro_batches })
    }

    /// Examples at which the test would just hold for this spread, averages aside.
    pub fn need(&self, spread: &Spread) -> f64 {
        self.test.need(&self.test.numbers(spread))
    }

    /// The next size, after a step whose gradients spread so.
    pub fn decide(&self, memory: &mut Memory, spread: &Spread) -> Decision {
        let now = memory.size;
        let numbers = self.test.numbers(spread);
        let mut decision =
            Decision { need: self.test.need(&numbers), next: now, noise_floor: false };
        if decision.need.is_nan() {
            return decision;
        }
        memory.tests += 1;
        if self.average > 0.0 && decision.need.is_finite() {
            let blend = |old: f64, new: f64| self.average * old + (1.0 - self.average) * new;
            memory.averages = memory.averages.with(&numbers, blend);
            memory.weight = blend(memory.weight, 1.0);
            let weight = memory.weight;
            let smooth = memory.averages.with(&numbers, |average, _| average / weight);
            decision.need = self.test.need(&smooth);
        }
        if memory.tests <= self.settle {
            memory.settling += decision.need;
            decision.need = memory.settling / memory.tests as f64;
        }
        decision.noise_floor = decision.need.is_infinite();
        if memory.tests >= self.settle && !self.measure_only {
            decision.next = self.size_for(now, decision.need);
            memory.size = decision.next;
        }
        decision
    }

    /// The size to go to from `now`.
    fn size_for(&self, now: usize, need: f64) -> usize {
        let whole = need.ceil().clamp(0.0, self.largest() as f64) as usize;
        if need > self.hysteresis * now as f64 {
            let cap = self.growth.map_or(f64::INFINITY, |c| (c * now as f64).floor());
            // A cap close to 1 must still let a small batch grow.
            let capped = (whole as f64).min(cap.max((now + 1) as f64)) as usize;
            return self.allowed(capped);
        }
        if self.shrink && need * self.hysteresis < now as f64 {
            return self.allowed(whole.max(self.initial()));
        }
        now
    }

    /// Counts a step of the present size, and follows a ramp that looks at no gradient.
    pub(crate) fn count_step(&self, memory: &mut Memory) {
        memory.steps += 1;
        memory.examples += memory.size as u64;
        match &self.test {
            Test::Ramp { by } => memory.size = self.allowed(memory.size + by),
            Test::Stages { sizes } if self.budget > 0 => {
                memory.size = self.allowed(stage(sizes, memory.examples, self.budget));
            }
            _ => {}
        }
    }

    /// By how much the learning rate is multiplied at the present size.
    pub fn rate_factor(&self, memory: &Memory) -> f64 {
        let growth = memory.size as f64 / self.initial() as f64;
        match self.coupling {
            Coupling::None => 1.0,
            Coupling::Linear => growth,
            Coupling::SquareRoot => growth.sqrt(),
        }
    }

    /// The memory before the first step.
    pub fn start(&self) -> Memory {
        let size = match &self.test {
            Test::Stages { sizes } => self.allowed(sizes.first().copied().unwrap_or(2)),
            _ => self.initial(),
        };
        Memory {
            size,
            examples: 0,
            steps: 0,
            tests: 0,
            settling: 0.0,
            weight: 0.0,
            averages: Numbers::default(),
        }
    }
}

/// The size at which a training stands that has used so many of its examples.
fn stage(sizes: &[usize], examples: u64, budget: u64) -> usize {
    let at = (examples as u128 * sizes.len() as u128 / budget.max(1) as u128) as usize;
    sizes.get(at).or(sizes.last()).copied().unwrap_or(2)
}

impl Test {
    fn validate(&self) -> Result<(), OutOfRange> {
        let positive = |key: &str, v: f64| {
            let right = v > 0.0 && v.is_finite();
            let expected = "a number above 0 (usually 0.05 to 1; smaller grows sooner)";
            if right { Ok(()) } else { Err(OutOfRange { key: format!("test.{key}"), expected }) }
        };
        match self {
            Test::Norm { eta } => positive("eta", *eta),
            Test::InnerProduct { theta } => positive("theta", *theta),
            Test::Augmented { theta, nu } => {
                positive("theta", *theta)?;
                positive("nu", *nu)
            }
            Test::Coordinate { eta, quantile } => {
                positive("eta", *eta)?;
                if *quantile > 0.0 && *quantile <= 1.0 {
                    return Ok(());
                }
                let expected = "a number above 0 and at most 1 (1 for all coordinates)";
                Err(OutOfRange { key: "test.quantile".into(), expected })
            }
            Test::Stages { sizes } if sizes.is_empty() || sizes.contains(&0) => {
                let expected = "at least one size, each at least 1";
                Err(OutOfRange { key: "test.sizes".into(), expected })
            }
            Test::Ramp { by: 0 } => {
                Err(OutOfRange { key: "test.by".into(), expected: "at least 1 example" })
            }
            Test::Stages { .. } | Test::Ramp { .. } => Ok(()),
        }
    }

    fn numbers(&self, spread: &Spread) -> Numbers {
        let ratio = match self {
            Test::Coordinate { quantile, .. } => {
                let ratios = spread.ratios.as_ref().map(lisse_array::Array::to_f64_vec);
                ratios.map_or(f64::NAN, |ratios| upper_quantile(ratios, *quantile))
            }
            _ => 0.0,
        };
        Numbers {
            total: spread.total,
            along: spread.along.unwrap_or(f64::NAN),
            across: spread.across().unwrap_or(f64::NAN),
            ratio,
            squared_norm: spread.squared_norm,
        }
    }

    fn need(&self, n: &Numbers) -> f64 {
        let along = |theta: f64| quotient(n.along / n.squared_norm, theta * theta * n.squared_norm);
        match *self {
            // No noise at all: nothing to average out, whatever the gradient.
            _ if n.total == 0.0 => 0.0,
            _ if n.total.is_finite() && n.squared_norm == 0.0 => f64::INFINITY,
            Test::Norm { eta } => quotient(n.total, eta * eta * n.squared_norm),
            Test::InnerProduct { theta } => along(theta),
            Test::Augmented { theta, nu } => {
                let across = quotient(n.across, nu * nu * n.squared_norm);
                if along(theta).is_nan() { f64::NAN } else { along(theta).max(across) }
            }
            Test::Coordinate { eta, .. } => n.ratio / (eta * eta),
            Test::Stages { .. } | Test::Ramp { .. } => 0.0,
        }
    }
}

/// A quotient of which 0 / 0 is 0: no noise asks for nothing.
fn quotient(noise: f64, bound: f64) -> f64 {
    if noise == 0.0 { 0.0 } else { noise / bound }
}

/// The smallest value that at least this share of the values does not exceed; what is no number counts as infinite.
fn upper_quantile(mut values: Vec<f64>, quantile: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = f64::INFINITY);
    let rank = ((quantile * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1;
    *values.select_nth_unstable_by(rank, f64::total_cmp).1
}

impl Numbers {
    fn with(&self, other: &Numbers, f: impl Fn(f64, f64) -> f64) -> Numbers {
        Numbers {
            total: f(self.total, other.total),
            along: f(self.along, other.along),
            across: f(self.across, other.across),
            ratio: f(self.ratio, other.ratio),
            squared_norm: f(self.squared_norm, other.squared_norm),
        }
    }
}

impl Memory {
    /// Reads what [`write`](Self::write) wrote; the start where nothing was.
    pub(crate) fn read<P>(state: &State<P>, controller: &Controller) -> Memory {
        let start = controller.start();
        let number = |key: &str| state.numbers.get(&format!("batch.{key}")).copied();
        let zero = |key: &str| number(key).unwrap_or(0.0);
        Memory {
            size: number("size").map_or(start.size, |v| v as usize),
            examples: zero("examples") as u64,
            steps: zero("steps") as u64,
            tests: zero("tests") as u64,
            settling: zero("settling"),
            weight: zero("weight"),
            averages: Numbers {
                total: zero("total"),
                along: zero("along"),
                across: zero("across"),
                ratio: zero("ratio"),
                squared_norm: zero("squared_norm"),
            },
        }
    }

    pub(crate) fn write<P>(&self, state: &mut State<P>) {
        let averages = &self.averages;
        for (key, value) in [
            ("size", self.size as f64),
            ("examples", self.examples as f64),
            ("steps", self.steps as f64),
            ("tests", self.tests as f64),
            ("settling", self.settling),
            ("weight", self.weight),
            ("total", averages.total),
            ("along", averages.along),
            ("across", averages.across),
            ("ratio", averages.ratio),
            ("squared_norm", averages.squared_norm),
        ] {
            state.numbers.insert(format!("batch.{key}"), value);
        }
    }
}
