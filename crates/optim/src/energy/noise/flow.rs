//! Normalizing flows of affine couplings (real NVP).

use lisse_array::{Array, Stream, Tree};
use lisse_nn::models::{Mlp, MlpConfig};
use lisse_nn::{Activation, Context, Model};
use serde::{Deserialize, Serialize};

use super::gaussian::log_standard_normal;
use super::{Gaussian, Noise, NoiseError};
use crate::{Adam, LossOracle, Optimizer};

/// Largest absolute logarithm of a coupling's scale.
const BOUND: f64 = 2.0;

/// Half of the coordinates, scaled and shifted by functions of the other half: `y = x e^{s(kept)} + t(kept)`, `|s| < 2`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Coupling {
    /// From the half that is kept to `s` and `t` of the other.
    pub net: Mlp,
    /// Whether the second half is the one that is kept.
    pub swapped: bool,
}

impl Coupling {
    fn new(dim: usize, hidden: usize, swapped: bool, stream: &Stream) -> Coupling {
        let (first, second) = (dim / 2, dim - dim / 2);
        let (kept, moved) = if swapped { (second, first) } else { (first, second) };
        let config = MlpConfig::new(&[kept, hidden, hidden, 2 * moved]);
        let mut net = config.activation(Activation::Silu).build(stream);
        // The identity at first.
        if let Some(last) = net.layers.last_mut() {
            *last = last.zeros_like();
        }
        Coupling { net, swapped }
    }

    fn halves(&self, x: &Array) -> (Array, Array) {
        let dim = x.shape()[1];
        let (first, second) = (x.narrow(1, 0, dim / 2), x.narrow(1, dim / 2, dim - dim / 2));
        if self.swapped { (second, first) } else { (first, second) }
    }

    fn joined(&self, kept: &Array, moved: &Array) -> Array {
        Array::cat(&if self.swapped { [moved, kept] } else { [kept, moved] }, 1)
    }

    fn scale_and_shift(&self, kept: &Array, moved: usize) -> (Array, Array) {
        let both = self.net.forward(kept, &Context::eval());
        let scale = (both.narrow(1, 0, moved) / BOUND).tanh() * BOUND;
        (scale, both.narrow(1, moved, moved))
    }

    /// Towards the data.
    fn generate(&self, x: &Array) -> Array {
        let (kept, moved) = self.halves(x);
        let (scale, shift) = self.scale_and_shift(&kept, moved.shape()[1]);
        self.joined(&kept, &(moved * scale.exp() + shift))
    }

    /// Towards the base, with the logarithm of the determinant.
    fn normalize(&self, y: &Array) -> (Array, Array) {
        let (kept, moved) = self.halves(y);
        let (scale, shift) = self.scale_and_shift(&kept, moved.shape()[1]);
        (self.joined(&kept, &((moved - shift) * (-&scale).exp())), -scale.sum(&[1]))
    }
}

/// A standard normal carried through couplings (real NVP; Dinh et al., 2017), then scaled to the data.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Flow {
    /// From the base to the data.
    pub couplings: Vec<Coupling>,
    /// Mean and covariance of the data, not trained.
    #[tree(buffer)]
    pub frame: Gaussian,
}

/// How a [`Flow`] is fitted, by maximum likelihood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowFit {
    /// Couplings; halves take turns.
    pub couplings: usize,
    /// Width of their two hidden layers.
    pub hidden: usize,
    /// Steps of Adam.
    pub steps: u64,
    /// Its learning rate, falling along a cosine.
    pub learning_rate: f64,
    /// Points of a step.
    pub batch: usize,
}

impl Default for FlowFit {
    fn default() -> FlowFit {
        FlowFit { couplings: 6, hidden: 64, steps: 1000, learning_rate: 1e-3, batch: 128 }
    }
}

impl FlowFit {
    /// A flow for data `[n, d]` with `d` of at least 2, before training: their Gaussian.
    ///
    /// # Errors
    /// Fewer than two columns, and whatever [`Gaussian::fit`] refuses.
    pub fn start(&self, data: &Array, stream: &Stream) -> Result<Flow, NoiseError> {
        let frame = Gaussian::fit(data, 1.0)?;
        let dim = frame.dim();
        if dim < 2 {
            let (found, expected) = (format!("{dim} column"), "at least 2: couplings need halves");
            return Err(NoiseError::Input { what: "Flow", found, expected });
        }
        let coupling = |k: usize| {
            let made = Coupling::new(dim, self.hidden, k % 2 == 1, &stream.at(k as u64));
            made.map(|leaf| leaf.cast(data.dtype()))
        };
        Ok(Flow { couplings: (0..self.couplings).map(coupling).collect(), frame })
    }

    /// Starts and trains.
    ///
    /// # Errors
    /// Those of [`FlowFit::start`].
    pub fn fit(&self, data: &Array, stream: &Stream) -> Result<Flow, NoiseError> {
        let mut flow = self.start(data, &stream.child("init"))?;
        let rate = crate::Schedule::Cosine {
            peak: self.learning_rate,
            warmup: 0,
            total: self.steps,
            floor: 0.0,
        };
        let optimizer = Adam::new(rate);
        let mut state = optimizer.init(&flow);
        let n = data.shape()[0] as i64;
        for step in 0..self.steps {
            let rows = stream.at(step).int_range(0, n, &[self.batch]);
            let batch = data.index_select(0, &rows);
            let mut oracle = LossOracle(|f: &Flow| -f.log_density(&batch).mean_all());
            optimizer.step(&mut flow, &mut state, &mut oracle);
        }
        Ok(flow)
    }
}

impl Noise for Flow {
    fn sample(&self, count: usize, stream: &Stream) -> Array {
        let mut x = stream.normal(&[count, self.frame.dim()], self.frame.mean.dtype());
        for coupling in &self.couplings {
            x = coupling.generate(&x);
        }
        self.frame.colour(&x)
    }

    fn log_density(&self, x: &Array) -> Array {
        let mut x = self.frame.whiten(x);
        let mut log_scale = self.frame.log_scale().expand(&[x.shape()[0]]);
        for coupling in self.couplings.iter().rev() {
            let (next, change) = coupling.normalize(&x);
            (x, log_scale) = (next, log_scale + change);
        }
        log_standard_normal(&x) + log_scale
    }
}
