//! Roots of a function of one number, within an interval where it changes sign.

use std::sync::Arc;

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::derivative::{Function, Parameters, Solver, stationary};
use super::trace::{Trace, check_returned, check_start};
use super::{Limits, Solution, SolverError, Stop};
use crate::implicit::Condition;

/// When a bracketed search ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RootOptions {
    /// Converged when the root is known to this, absolute and relative to its size (never below rounding).
    pub tolerance: f64,
    /// Most evaluations of the function, the two ends included.
    pub max_evaluations: usize,
}

impl Default for RootOptions {
    fn default() -> Self {
        RootOptions { tolerance: 1e-14, max_evaluations: 200 }
    }
}

/// What a bracketed search came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Root {
    /// The point.
    pub x: f64,
    /// The function there.
    pub value: f64,
    /// How far the root can be from the point.
    pub width: f64,
    /// Why the search ended.
    pub stop: Stop,
    /// Evaluations of the function.
    pub evaluations: usize,
}

/// How the interval is narrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bracketing {
    /// By halves.
    Bisection,
    /// Brent's method: interpolation, and halves where that does not pay.
    #[default]
    Brent,
}

/// Ends of an interval with the function's values there.
fn bracket(
    f: &mut impl FnMut(f64) -> f64,
    a: f64,
    b: f64,
    options: &RootOptions,
) -> Result<(f64, f64), SolverError> {
    for (argument, value) in [("the left end", a), ("the right end", b)] {
        if !value.is_finite() {
            return Err(SolverError::NotFinite { argument, index: 0, value });
        }
    }
    let sound = options.tolerance >= 0.0;
    SolverError::check("tolerance", options.tolerance, sound, "a number of at least 0")?;
    let (fa, fb) = (f(a), f(b));
    let apart = (fa <= 0.0 && fb >= 0.0) || (fa >= 0.0 && fb <= 0.0);
    if apart {
        return Ok((fa, fb));
    }
    Err(SolverError::NoSignChange { left: a, left_value: fa, right: b, right_value: fb })
}

/// A root of `f` between `a` and `b` by halving the interval: about 50 evaluations for all digits.
///
/// # Errors
/// If `f` has the same sign at both ends, or an end is not finite.
pub fn bisection(
    mut f: impl FnMut(f64) -> f64,
    mut a: f64,
    mut b: f64,
    options: &RootOptions,
) -> Result<Root, SolverError> {
    let (fa, fb) = bracket(&mut f, a, b, options)?;
    let end = |x, value, width, stop, evaluations| Ok(Root { x, value, width, stop, evaluations });
    if fa == 0.0 {
        return end(a, fa, 0.0, Stop::Converged, 2);
    }
    if fb == 0.0 {
        return end(b, fb, 0.0, Stop::Converged, 2);
    }
    let mut evaluations = 2;
    loop {
        let middle = a + 0.5 * (b - a);
        let value = f(middle);
        evaluations += 1;
        let width = 0.5 * (b - a).abs();
        let floor = 2.0 * f64::EPSILON * middle.abs();
        if value == 0.0 || width <= (options.tolerance * middle.abs().max(1.0)).max(floor) {
            return end(middle, value, width, Stop::Converged, evaluations);
        }
        if value.is_nan() {
            return end(middle, value, width, Stop::NotFinite, evaluations);
        }
        if evaluations >= options.max_evaluations {
            return end(middle, value, width, Stop::MaxIterations, evaluations);
        }
        if (value > 0.0) == (fb > 0.0) {
            b = middle;
        } else {
            a = middle;
        }
    }
}

/// A root of `f` between `a` and `b` by Brent's method (Algorithms for Minimization without Derivatives, 1973, chapter 4): inverse quadratic and
/// linear interpolation, and bisection where they are slow. About ten evaluations for a smooth function, never many more than bisection.
///
/// ```
/// use lisse_solve::solvers::{RootOptions, brent};
/// let root = brent(|x| x.cos() - x, 0.0, 1.0, &RootOptions::default())?;
/// assert!((root.x - 0.7390851332151607).abs() < 1e-14 && root.evaluations < 12);
/// # Ok::<(), lisse_solve::solvers::SolverError>(())
/// ```
///
/// # Errors
/// If `f` has the same sign at both ends, or an end is not finite.
pub fn brent(
    mut f: impl FnMut(f64) -> f64,
    mut a: f64,
    mut b: f64,
    options: &RootOptions,
) -> Result<Root, SolverError> {
    let (mut fa, mut fb) = bracket(&mut f, a, b, options)?;
    let mut evaluations = 2;
    // `b` is the best point, `c` the other end of the bracket, `a` the point before `b`.
    let (mut c, mut fc) = (a, fa);
    let mut step = b - a;
    let mut before = step;
    loop {
        if (fb > 0.0) == (fc > 0.0) && fb != 0.0 {
            (c, fc) = (a, fa);
            step = b - a;
            before = step;
        }
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let tolerance = 2.0 * f64::EPSILON * b.abs() + 0.5 * options.tolerance * b.abs().max(1.0);
        let half = 0.5 * (c - b);
        let stop = match () {
            () if fb.is_nan() => Some(Stop::NotFinite),
            () if half.abs() <= tolerance || fb == 0.0 => Some(Stop::Converged),
            () if evaluations >= options.max_evaluations => Some(Stop::MaxIterations),
            () => None,
        };
        if let Some(stop) = stop {
            let width = if fb == 0.0 { 0.0 } else { 2.0 * half.abs() };
            return Ok(Root { x: b, value: fb, width, stop, evaluations });
        }
        if before.abs() < tolerance || fa.abs() <= fb.abs() {
            step = half;
            before = half;
        } else {
            let (mut p, mut q) = interpolation((a, fa), (b, fb), (c, fc), half);
            if p > 0.0 {
                q = -q;
            } else {
                p = -p;
            }
            if 2.0 * p < (3.0 * half * q - (tolerance * q).abs()).min((before * q).abs()) {
                before = step;
                step = p / q;
            } else {
                step = half;
                before = half;
            }
        }
        (a, fa) = (b, fb);
        b += if step.abs() > tolerance { step } else { tolerance.copysign(half) };
        fb = f(b);
        evaluations += 1;
    }
}

/// Numerator and denominator of the step from `b` by interpolating the three points, or two where two coincide.
fn interpolation(a: (f64, f64), b: (f64, f64), c: (f64, f64), half: f64) -> (f64, f64) {
    let s = b.1 / a.1;
    if a.0 == c.0 {
        return (2.0 * half * s, 1.0 - s);
    }
    let (q, r) = (a.1 / c.1, b.1 / c.1);
    let p = s * (2.0 * half * q * (q - r) - (b.0 - a.0) * (r - 1.0));
    (p, (q - 1.0) * (r - 1.0) * (s - 1.0))
}

/// `F(x, theta) = 0` for one number `x` between `low` and `high`, where `F` changes sign.
///
/// The start only gives the shape. The error is the width of what is left of the interval. Through the iterations there is no derivative: the
/// points of a bracketed search are no smooth functions of the parameters.
#[derive(Clone)]
pub struct ScalarRoot<T> {
    function: Function<T>,
    /// Left end.
    pub low: f64,
    /// Right end.
    pub high: f64,
    /// How the interval is narrowed.
    pub bracketing: Bracketing,
    /// When to end.
    pub options: RootOptions,
}

impl<T: Parameters> ScalarRoot<T> {
    /// `function(x, theta)` is shaped as `x`: one element.
    pub fn new(
        function: impl Fn(&Array, &T) -> Array + Send + Sync + 'static,
        low: f64,
        high: f64,
    ) -> Self {
        ScalarRoot {
            function: Arc::new(function),
            low,
            high,
            bracketing: Bracketing::Brent,
            options: RootOptions::default(),
        }
    }

    /// By halves.
    #[must_use]
    pub fn bisection(mut self) -> Self {
        self.bracketing = Bracketing::Bisection;
        self
    }
}

impl<T: Parameters> Solver<T> for ScalarRoot<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        check_start(start)?;
        if start.len() != 1 {
            let (expected, found) = ("one element".into(), start.shape().to_vec());
            return Err(SolverError::Shape { argument: "the start", expected, found });
        }
        let constants = theta.map(Array::stop_gradient);
        check_returned("the function", &(self.function)(start, &constants), start.shape())?;
        let f = |x: f64| (self.function)(&start.full_like(x), &constants).item();
        let root = match self.bracketing {
            Bracketing::Bisection => bisection(f, self.low, self.high, &self.options)?,
            Bracketing::Brent => brent(f, self.low, self.high, &self.options)?,
        };
        let mut trace = Trace::new(Limits::new(f64::MIN_POSITIVE, usize::MAX));
        trace.counts.values = root.evaluations;
        let mut solution = trace.end(start.full_like(root.x), root.stop, root.width);
        solution.iterations = root.evaluations.saturating_sub(2);
        Ok(solution)
    }

    fn condition(&self) -> Condition<Array, T> {
        let function = self.function.clone();
        stationary(move |x: &Array, theta: &T| function(x, theta))
    }
}
