//! Gradient steps, fixed or searched, and Adam.

use lisse_array::Array;
use lisse_array::fused::{AdamUpdate, adam};

use super::{Inner, Limits, Linearised, Memory, Outcome, Work, norm};

/// Adam's moments, as vectors.
pub(in super::super) struct AdamMemory {
    pub mean: Array,
    pub square: Array,
    pub step: u64,
}

/// The smallest step that the search tries, and how often it shrinks.
const FLOOR: f64 = 1e-6;
const MOST_TRIALS: usize = 100;

/// A point, and the model there once it is needed.
struct Point<'a> {
    x: Array,
    at: Option<Linearised<'a>>,
}

pub(super) fn solve<'a>(
    inner: &Inner,
    work: &mut Work<'a>,
    x: &Array,
    at: Linearised<'a>,
    limits: Limits,
    memory: &mut Memory,
) -> Outcome {
    let mut point = Point { x: x.clone(), at: Some(at) };
    let (mut steps, mut increases) = (0, 0);
    let (mut enough, mut gradient_norm, mut change) = (0.0, f64::NAN, 0.0);
    while steps < limits.steps {
        let Point { x, at } = point;
        let at = at.unwrap_or_else(|| work.linearise(&x));
        if steps > 0 {
            let now = work.change(&at.outputs);
            increases += usize::from(now > change);
            change = now;
        }
        let gradient = work.gradient(&at);
        gradient_norm = norm(&gradient);
        if steps == 0 {
            enough = limits.enough(gradient_norm);
        }
        let next = if gradient_norm > enough {
            let first = steps == 0;
            step(inner, work, &x, &gradient, Here { change, gradient_norm, first }, memory)
        } else {
            None
        };
        let Some(next) = next else {
            point = Point { x, at: Some(at) };
            break;
        };
        point = next;
        steps += 1;
    }
    let outputs = point.at.map(|at| at.outputs);
    Outcome { x: point.x, outputs, steps, gradient_norm, increases }
}

/// What is known where a step begins.
#[derive(Clone, Copy)]
struct Here {
    change: f64,
    gradient_norm: f64,
    first: bool,
}

/// The next point; `None` if no step is good enough.
fn step<'a>(
    inner: &Inner,
    work: &mut Work<'a>,
    x: &Array,
    gradient: &Array,
    here: Here,
    memory: &mut Memory,
) -> Option<Point<'a>> {
    match *inner {
        Inner::Gradient { step } => Some(Point { x: x.add_scaled(-step, gradient), at: None }),
        Inner::Adam { learning_rate } => {
            let moments = memory.adam.take().unwrap_or_else(|| AdamMemory {
                mean: x.zeros_like(),
                square: x.zeros_like(),
                step: 0,
            });
            let update = AdamUpdate {
                rate: learning_rate,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                decay: 0.0,
                decoupled_decay: 0.0,
                step: moments.step + 1,
            };
            let [x, mean, square] =
                adam([x.clone(), moments.mean, moments.square], gradient, &update);
            memory.adam = Some(AdamMemory { mean, square, step: update.step });
            Some(Point { x, at: None })
        }
        Inner::Armijo { start, expand, shrink, decrease, warm } => {
            let last = memory.armijo_step.filter(|_| warm || !here.first);
            let mut step = last.map_or(start, |last| last * expand);
            for _ in 0..MOST_TRIALS {
                let next = x.add_scaled(-step, gradient);
                let at = work.linearise(&next);
                let promised = step * here.gradient_norm * here.gradient_norm;
                if work.change(&at.outputs) <= here.change - decrease * promised {
                    memory.armijo_step = Some(step);
                    return Some(Point { x: next, at: Some(at) });
                }
                step *= shrink;
                if step < FLOOR {
                    break;
                }
            }
            None
        }
        _ => None,
    }
}
