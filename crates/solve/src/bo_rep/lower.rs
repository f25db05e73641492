//! The lower level: blocks of projected gradient steps.

use serde::{Deserialize, Serialize};

use crate::bilevel::vector::{axpy, distance};

/// How `y` is brought near `y*(x_0)` before the first step of the upper level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Refinement {
    /// Not at all.
    None,
    /// Plain gradient steps with the rate `gamma`.
    Steps {
        /// How many.
        count: usize,
    },
    /// Epochs of projected gradient steps (Hazan and Kale 2014): each starts from the average of the one before, with half its
    /// rate, twice its steps and a ball smaller by `sqrt 2`.
    Epochs {
        /// Number of epochs.
        epochs: usize,
        /// Steps of the first.
        steps: usize,
        /// Radius of its ball; without one there is no projection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        radius: Option<f64>,
    },
}

impl Default for Refinement {
    fn default() -> Self {
        Refinement::Epochs { epochs: 3, steps: 20, radius: None }
    }
}

impl Refinement {
    /// Gradients of `G` it takes.
    pub fn gradients(self) -> usize {
        match self {
            Refinement::None => 0,
            Refinement::Steps { count } => count,
            Refinement::Epochs { epochs, steps, .. } => steps * ((1 << epochs) - 1),
        }
    }

    /// The refined `y`; `gradient` gets the number of the step.
    pub(crate) fn refine(
        self,
        y: &[f64],
        gamma: f64,
        mut gradient: impl FnMut(&[f64], usize) -> Vec<f64>,
    ) -> Vec<f64> {
        match self {
            Refinement::None => y.to_vec(),
            Refinement::Steps { count } => {
                Block { steps: count, gamma, radius: None }.run(y, gradient).last
            }
            Refinement::Epochs { epochs, steps, radius } => {
                let mut block = Block { steps, gamma, radius };
                let (mut y, mut done) = (y.to_vec(), 0);
                for _ in 0..epochs {
                    y = block.run(&y, |y, t| gradient(y, done + t)).average;
                    done += block.steps;
                    block.steps *= 2;
                    block.gamma *= 0.5;
                    block.radius = block.radius.map(|r| r * std::f64::consts::FRAC_1_SQRT_2);
                }
                y
            }
        }
    }
}

/// Gradient steps within a ball around their start.
pub(crate) struct Block {
    pub(crate) steps: usize,
    pub(crate) gamma: f64,
    pub(crate) radius: Option<f64>,
}

/// Where a block of steps led.
pub(crate) struct Descent {
    pub(crate) last: Vec<f64>,
    /// Mean of the points after each step.
    pub(crate) average: Vec<f64>,
}

impl Block {
    pub(crate) fn run(
        &self,
        start: &[f64],
        mut gradient: impl FnMut(&[f64], usize) -> Vec<f64>,
    ) -> Descent {
        let mut last = start.to_vec();
        let mut average = vec![0.0; start.len()];
        for t in 0..self.steps {
            let slope = gradient(&last, t);
            axpy(&mut last, -self.gamma, &slope);
            if let Some(radius) = self.radius {
                project(&mut last, start, radius);
            }
            axpy(&mut average, 1.0 / self.steps as f64, &last);
        }
        if self.steps == 0 {
            average.copy_from_slice(start);
        }
        Descent { last, average }
    }
}

/// Moves `y` to the nearest point of the ball around `centre`.
pub(crate) fn project(y: &mut [f64], centre: &[f64], radius: f64) {
    let away = distance(y, centre);
    if away > radius {
        for (y, c) in y.iter_mut().zip(centre) {
            *y = c + (*y - c) * (radius / away);
        }
    }
}
