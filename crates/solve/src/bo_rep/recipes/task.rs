//! What a recipe measures of a problem, and the test problem.

use lisse_array::{Array, Stream};
use lisse_run::{Audit, Error, Watch};

use super::config::LowerStart;
use crate::bilevel::baselines::State;
use crate::bilevel::vector::norm;
use crate::bilevel::{Bilevel, Closures, Samples};
use crate::bo_rep::problems::{cosh, cosh_gradient};

/// Named values.
pub type Values = Vec<(&'static str, f64)>;

/// Where a solve begins.
pub struct Start {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    /// Zero if left out.
    pub z: Option<Vec<f64>>,
}

/// A problem with what a recipe shows of it.
pub trait Task: Send + Sync {
    /// The problem.
    fn problem(&self) -> &dyn Bilevel;

    /// The start.
    fn start(&self) -> Start;

    /// Samples of `batch` examples, or all.
    fn samples(&self, batch: Option<usize>, stream: &Stream) -> Samples;

    /// Values for the curves, cheap enough to be taken often. The first one is drawn.
    fn measure(&self, state: &State) -> Values;

    /// Whether the goal is reached.
    fn reached(&self, state: &State) -> bool {
        let _ = state;
        false
    }

    /// Whether the solve ends there.
    fn stops(&self) -> bool {
        false
    }

    /// Final figures and artefacts.
    fn conclude(&self, state: &State, watch: &mut Watch) -> Result<Values, Error>;

    /// Objectives to check.
    fn audits(&self) -> Vec<Audit>;
}

/// [`cosh`], of which everything is known.
pub struct CoshTask {
    problem: Closures,
    lower: LowerStart,
    until: f64,
    stop: bool,
}

const START: [f64; 2] = [10.0, -8.0];

impl CoshTask {
    pub fn new(lower: LowerStart, until: f64, stop: bool) -> CoshTask {
        CoshTask { problem: cosh(), lower, until, stop }
    }
}

impl Task for CoshTask {
    fn problem(&self) -> &dyn Bilevel {
        &self.problem
    }

    fn start(&self) -> Start {
        let exact = [START[0] + 0.5 * START[1], START[1]];
        let y = if self.lower == LowerStart::Zero { vec![0.0, 0.0] } else { exact.to_vec() };
        let solution = || vec![exact[0].sinh(), 0.5 * exact[1].sinh()];
        Start { x: START.to_vec(), y, z: (self.lower == LowerStart::ExactBoth).then(solution) }
    }

    fn samples(&self, _: Option<usize>, _: &Stream) -> Samples {
        Samples::whole()
    }

    fn measure(&self, state: &State) -> Values {
        let slope = norm(&cosh_gradient(&state.x));
        // Far away infinities of both signs meet.
        vec![("gradient", if slope.is_nan() { f64::INFINITY } else { slope })]
    }

    fn reached(&self, state: &State) -> bool {
        norm(&cosh_gradient(&state.x)) < self.until
    }

    fn stops(&self) -> bool {
        self.stop
    }

    fn conclude(&self, state: &State, _: &mut Watch) -> Result<Values, Error> {
        Ok(self.measure(state))
    }

    fn audits(&self) -> Vec<Audit> {
        let at = (Array::from_slice(&[0.7, -0.4], &[2]), Array::from_slice(&[0.3, 0.9], &[2]));
        let lower = |(x, y): &(Array, Array)| {
            let a = Array::from_slice(&[1.0, 0.5, 0.0, 1.0], &[2, 2]);
            ((y - a.matmul(x)).square() * Array::from_slice(&[0.5, 1.0], &[2])).sum_all()
        };
        let upper = |(_, y): &(Array, Array)| y.cosh().sum_all();
        vec![Audit::new("upper", at.clone(), upper), Audit::new("lower", at, lower)]
    }
}
