//! Element-wise nonlinearities by name.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

/// An element-wise nonlinearity; in a recipe by its name in `snake_case`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Tree, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`
    #[default]
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x` where positive, else the slope times `x`
    LeakyRelu(f64),
    /// `x` where positive, else `alpha (e^x - 1)`
    Elu(f64),
    /// The self-normalising scaled ELU (Klambauer et al. 2017)
    Selu,
    /// `x Phi(x)`
    Gelu,
    /// The tanh approximation of GELU, GPT-2's `gelu_new`
    GeluTanh,
    /// `x sigmoid(x)`, also called swish
    Silu,
    /// `x tanh(softplus(x))`
    Mish,
    /// `tanh x`
    Tanh,
    /// `min(max(x, -1), 1)`
    HardTanh,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `ln sigmoid(x)`
    LogSigmoid,
    /// `min(max(x / 6 + 1/2, 0), 1)`
    HardSigmoid,
    /// `x` times [`HardSigmoid`](Self::HardSigmoid)
    HardSwish,
    /// `ln(1 + e^x)`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `sin x`, for implicit representations
    Sine,
}

/// The constants of [`Activation::Selu`], which give fixed points at mean 0 and variance 1.
const SELU_ALPHA: f64 = 1.6732632423543772;
const SELU_SCALE: f64 = 1.0507009873554805;

impl Activation {
    /// Applies it to each element.
    pub fn forward(&self, x: &Array) -> Array {
        match *self {
            Self::Identity => x.clone(),
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::LeakyRelu(slope) => x.relu() * (1.0 - slope) + x * slope,
            Self::Elu(alpha) => elu(x, alpha),
            Self::Selu => elu(x, SELU_ALPHA) * SELU_SCALE,
            Self::Gelu => x.gelu(),
            Self::GeluTanh => x.gelu_tanh(),
            Self::Silu => x.silu(),
            Self::Mish => x * x.softplus().tanh(),
            Self::Tanh => x.tanh(),
            Self::HardTanh => x.clamp(-1.0, 1.0),
            Self::Sigmoid => x.sigmoid(),
            Self::LogSigmoid => -(-x).softplus(),
            Self::HardSigmoid => hard_sigmoid(x),
            Self::HardSwish => x * hard_sigmoid(x),
            Self::Softplus => x.softplus(),
            Self::Softsign => x / (x.abs() + 1.0),
            Self::Sine => x.sin(),
        }
    }

    /// The factor on an initialiser's standard deviation that keeps the variance through this activation, as
    /// `torch.nn.init.calculate_gain` has it (1 where PyTorch has no value).
    pub fn gain(&self) -> f64 {
        match *self {
            Self::Relu => std::f64::consts::SQRT_2,
            Self::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
            Self::Tanh => 5.0 / 3.0,
            Self::Selu => 0.75,
            _ => 1.0,
        }
    }
}

/// The argument of the exponential is cut at zero, so that the branch not taken gives no infinite derivative.
fn elu(x: &Array, alpha: f64) -> Array {
    x.relu() + (-((-x).relu())).expm1() * alpha
}

fn hard_sigmoid(x: &Array) -> Array {
    (x / 6.0 + 0.5).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::check;

    #[test]
    fn derivatives_to_the_second_order() {
        let x = Array::from_slice(&[-2.3f64, -0.7, -0.1, 0.2, 0.9, 2.6], &[6]);
        let all = [
            Activation::Identity,
            Activation::Relu,
            Activation::Relu6,
            Activation::LeakyRelu(0.1),
            Activation::Elu(1.3),
            Activation::Selu,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
            Activation::Mish,
            Activation::Tanh,
            Activation::HardTanh,
            Activation::Sigmoid,
            Activation::LogSigmoid,
            Activation::HardSigmoid,
            Activation::HardSwish,
            Activation::Softplus,
            Activation::Softsign,
            Activation::Sine,
        ];
        for activation in all {
            check::gradient(|x: &Array| activation.forward(x), &x, 2)
                .unwrap_or_else(|e| panic!("{activation:?}: {e}"));
        }
    }

    #[test]
    fn large_arguments_stay_finite() {
        let x = Array::from_slice(&[-800.0f64, 800.0], &[2]);
        let elu = Activation::Elu(1.0).forward(&x).to_vec::<f64>();
        assert_eq!(elu, [-1.0, 800.0]);
        let log_sigmoid = Activation::LogSigmoid.forward(&x).to_vec::<f64>();
        assert_eq!(log_sigmoid, [-800.0, 0.0]);
    }

    #[test]
    fn names_are_those_of_recipes() {
        let parsed: Activation = serde_json::from_str("\"gelu_tanh\"").unwrap();
        assert_eq!(parsed, Activation::GeluTanh);
        let parsed: Activation = serde_json::from_str("{\"leaky_relu\": 0.2}").unwrap();
        assert_eq!(parsed, Activation::LeakyRelu(0.2));
    }
}
