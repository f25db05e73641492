//! A mixture of experts on patches of digits.

use lisse_array::{Array, DType, Stream, Tree};
use lisse_nn::losses::cross_entropy;
use lisse_nn::{Activation, Linear, LinearConfig};
use serde::{Deserialize, Serialize};

use super::config::ModelConfig;
use crate::transport::{Dispatch, Router, TransportError, importance_loss, load_loss};

/// Patches of a digit: 4 by 4 of 2 by 2 pixels.
pub(super) const PATCHES: usize = 16;

/// Patches and their places become tokens, one layer of experts is added to them, their mean is read. Without experts the scores would be linear in the pixels.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub(super) struct Mixture {
    patch: Linear,
    /// `[16, width]`
    place: Array,
    gate: Linear,
    experts: Vec<Expert>,
    head: Linear,
}

#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
struct Expert {
    up: Linear,
    down: Linear,
}

/// What a forward pass tells besides its scores.
pub(super) struct Pass {
    pub scores: Array,
    pub gates: Array,
    pub dispatch: Dispatch,
}

impl Mixture {
    pub fn new(config: &ModelConfig, stream: &Stream) -> Mixture {
        let ModelConfig { width, hidden, experts } = *config;
        let expert = |e: usize| {
            let stream = stream.child("expert").at(e as u64);
            Expert {
                up: Linear::new(width, hidden, &stream.child("up")),
                down: Linear::new(hidden, width, &stream.child("down")),
            }
        };
        Mixture {
            patch: Linear::new(4, width, &stream.child("patch")),
            place: stream.child("place").normal(&[PATCHES, width], DType::F32) * 0.5,
            gate: LinearConfig::new(width, experts).bias(false).build(&stream.child("gate")),
            experts: (0..experts).map(expert).collect(),
            head: Linear::new(width, 10, &stream.child("head")),
        }
    }

    /// Tokens `[images * 16, width]` and their gates.
    fn tokens(&self, images: &Array) -> (Array, Array) {
        let count = images.dim(0) as isize;
        let patches = images.reshape(&[count, 4, 2, 4, 2]).permute(&[0, 1, 3, 2, 4]).reshape(&[
            count,
            PATCHES as isize,
            4,
        ]);
        let width = self.place.dim(1) as isize;
        let tokens = (self.patch.forward(&patches) + &self.place).reshape(&[-1, width]);
        let gates = self.gate.forward(&tokens).softmax(1);
        (tokens, gates)
    }

    fn scores(&self, tokens: &Array, gates: &Array, dispatch: &Dispatch) -> Array {
        let mixed = dispatch.apply(tokens, gates, |e, x| {
            let expert = &self.experts[e];
            expert.down.forward(&Activation::Gelu.forward(&expert.up.forward(x)))
        });
        let width = self.place.dim(1) as isize;
        let mean = (tokens + mixed).reshape(&[-1, PATCHES as isize, width]).mean(&[1]);
        self.head.forward(&mean)
    }

    /// Scores of images `[count, 1, 8, 8]`, routed together.
    pub fn forward(&self, images: &Array, router: &Router) -> Result<Pass, TransportError> {
        let (tokens, gates) = self.tokens(images);
        let dispatch = router.route(&gates.stop_gradient())?.dispatch;
        let scores = self.scores(&tokens, &gates, &dispatch);
        Ok(Pass { scores, gates, dispatch })
    }

    /// The loss with a dispatch that stays: what the derivative of a training step is of.
    pub fn loss_with(
        &self,
        images: &Array,
        labels: &Array,
        dispatch: &Dispatch,
        auxiliary: f64,
    ) -> Array {
        let (tokens, gates) = self.tokens(images);
        let pass = Pass {
            scores: self.scores(&tokens, &gates, dispatch),
            gates,
            dispatch: dispatch.clone(),
        };
        pass.loss(labels, auxiliary)
    }
}

impl Pass {
    pub fn loss(&self, labels: &Array, auxiliary: f64) -> Array {
        let loss = cross_entropy(&self.scores, labels);
        if auxiliary == 0.0 {
            return loss;
        }
        let balance = importance_loss(&self.gates) + load_loss(&self.gates, &self.dispatch);
        loss + balance * (0.5 * auxiliary)
    }
}
