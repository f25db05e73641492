//! Initial values of parameters.
//!
//! The fans of a weight `[out, in, kernel...]` are `fan_in = in * |kernel|` and `fan_out = out * |kernel|`, as in PyTorch
//! (also for transposed convolutions, where the first axis is the input).

use lisse_array::{Array, DType, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::norm::signed;

/// Which fan a Kaiming initialiser keeps the variance over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Tree, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fan {
    /// Inputs: the forward pass keeps its variance.
    #[default]
    In,
    /// Outputs: the backward pass does.
    Out,
}

/// How a weight starts. The `gain` is that of the activation that follows ([`Activation::gain`](crate::Activation::gain)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Tree, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// PyTorch's default of linear and convolutional layers: uniform within `1 / sqrt(fan_in)`.
    #[default]
    Default,
    /// One number everywhere.
    Constant(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// Half the width.
        bound: f64,
    },
    /// Normal with mean zero.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Normal with mean zero, conditioned on `[-bound, bound]`.
    TruncatedNormal {
        /// Standard deviation before the cut.
        std: f64,
        /// Largest magnitude, in the weight's own units (PyTorch's default is 2).
        bound: f64,
    },
    /// Uniform with variance `2 gain^2 / (fan_in + fan_out)` (Glorot and Bengio 2010).
    XavierUniform {
        /// Factor on the standard deviation.
        gain: f64,
    },
    /// Normal with the same variance.
    XavierNormal {
        /// Factor on the standard deviation.
        gain: f64,
    },
    /// Uniform with variance `gain^2 / fan` (He et al. 2015).
    KaimingUniform {
        /// Factor on the standard deviation; `sqrt 2` before a relu.
        gain: f64,
        /// Which fan.
        fan: Fan,
    },
    /// Normal with the same variance.
    KaimingNormal {
        /// Factor on the standard deviation; `sqrt 2` before a relu.
        gain: f64,
        /// Which fan.
        fan: Fan,
    },
    /// `gain` times a matrix with orthonormal rows or columns, whichever are fewer, of the weight flattened to
    /// `[out, rest]` (Saxe et al. 2014).
    Orthogonal {
        /// Factor on the singular values.
        gain: f64,
    },
}

impl Init {
    /// A weight of `shape`, in f32.
    ///
    /// Panics for fans or orthogonality on a shape of rank below 2.
    pub fn weight(&self, stream: &Stream, shape: &[usize]) -> Array {
        match *self {
            Self::Default => uniform(stream, shape, fan_bound(shape)),
            Self::Constant(value) => Array::full(shape, value, DType::F32),
            Self::Uniform { bound } => uniform(stream, shape, bound),
            Self::Normal { std } => normal(stream, shape, std),
            Self::TruncatedNormal { std, bound } => {
                stream.truncated_normal(-bound / std, bound / std, shape, DType::F32) * std
            }
            Self::XavierUniform { gain } => {
                uniform(stream, shape, 3f64.sqrt() * xavier_std(shape, gain))
            }
            Self::XavierNormal { gain } => normal(stream, shape, xavier_std(shape, gain)),
            Self::KaimingUniform { gain, fan } => {
                uniform(stream, shape, 3f64.sqrt() * kaiming_std(shape, gain, fan))
            }
            Self::KaimingNormal { gain, fan } => {
                normal(stream, shape, kaiming_std(shape, gain, fan))
            }
            Self::Orthogonal { gain } => orthogonal(stream, shape) * gain,
        }
    }
}

/// `(fan_in, fan_out)` of a weight `[out, in, kernel...]`.
pub fn fans(shape: &[usize]) -> (usize, usize) {
    assert!(
        shape.len() >= 2,
        "init: a weight of shape {shape:?} has no fans; rank 2 or more is needed"
    );
    let kernel: usize = shape[2..].iter().product();
    (shape[1] * kernel, shape[0] * kernel)
}

/// `1 / sqrt(fan_in)`: PyTorch's bound for the weight and bias of linear and convolutional layers.
pub fn fan_bound(weight_shape: &[usize]) -> f64 {
    1.0 / (fans(weight_shape).0.max(1) as f64).sqrt()
}

/// Uniform in `[-bound, bound)`, in f32.
pub fn uniform(stream: &Stream, shape: &[usize], bound: f64) -> Array {
    stream.uniform_range(-bound, bound, shape, DType::F32)
}

/// Normal with mean zero, in f32.
pub fn normal(stream: &Stream, shape: &[usize], std: f64) -> Array {
    stream.normal(shape, DType::F32) * std
}

fn xavier_std(shape: &[usize], gain: f64) -> f64 {
    let (fan_in, fan_out) = fans(shape);
    gain * (2.0 / (fan_in + fan_out) as f64).sqrt()
}

fn kaiming_std(shape: &[usize], gain: f64, fan: Fan) -> f64 {
    let (fan_in, fan_out) = fans(shape);
    let count = if fan == Fan::In { fan_in } else { fan_out };
    gain / (count as f64).sqrt()
}

/// Columns (or rows) of a normal matrix made orthonormal: uniform over such matrices, since the diagonal of `R` is positive.
fn orthogonal(stream: &Stream, shape: &[usize]) -> Array {
    let rows = shape[0];
    let columns = fans(shape).0;
    let tall = stream.normal(&[rows.max(columns), rows.min(columns)], DType::F64);
    let (q, _) = tall.qr().expect("normal draws are finite");
    let matrix = if rows >= columns { q } else { q.t() };
    matrix.cast(DType::F32).reshape(&signed(shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(init: Init, shape: &[usize]) -> (f64, f64, f64) {
        let values = init.weight(&Stream::new(3), shape).to_f64_vec();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        (mean, std, values.iter().fold(0.0, |m: f64, v| m.max(v.abs())))
    }

    #[test]
    fn standard_deviations_and_bounds() {
        let shape = [64, 32, 3, 3];
        let (fan_in, fan_out) = (32.0 * 9.0, 64.0 * 9.0f64);
        let he = (2.0f64 / fan_in).sqrt();
        let glorot = (2.0 / (fan_in + fan_out)).sqrt();
        let gain = std::f64::consts::SQRT_2;
        let cases = [
            (Init::Default, 1.0 / (3.0 * fan_in).sqrt()),
            (Init::Uniform { bound: 0.3 }, 0.3 / 3f64.sqrt()),
            (Init::Normal { std: 0.02 }, 0.02),
            (Init::TruncatedNormal { std: 0.02, bound: 2.0 }, 0.02),
            (Init::XavierUniform { gain: 1.0 }, glorot),
            (Init::XavierNormal { gain: 1.0 }, glorot),
            (Init::KaimingUniform { gain, fan: Fan::In }, he),
            (Init::KaimingNormal { gain, fan: Fan::Out }, (2.0 / fan_out).sqrt()),
        ];
        for (init, expected) in cases {
            let (mean, std, _) = moments(init, &shape);
            // 18432 draws: four standard errors of the standard deviation are about 2 %.
            assert!((std / expected - 1.0).abs() < 0.025, "{init:?}: {std} instead of {expected}");
            assert!(mean.abs() < 0.04 * expected, "{init:?}: mean {mean}");
        }
        assert!(moments(Init::Default, &shape).2 <= 1.0 / fan_in.sqrt());
        assert!(moments(Init::TruncatedNormal { std: 1.0, bound: 0.5 }, &shape).2 <= 0.5);
    }

    #[test]
    fn orthogonal_weights_have_orthonormal_rows_or_columns() {
        for shape in [vec![5, 3], vec![3, 5], vec![4, 2, 3, 3]] {
            let w = Init::Orthogonal { gain: 2.0 }.weight(&Stream::new(1), &shape);
            let w = w.reshape(&[shape[0] as isize, -1]).cast(DType::F64) / 2.0;
            let (rows, columns) = (w.dim(0), w.dim(1));
            let gram = if rows <= columns { w.matmul(&w.t()) } else { w.t().matmul(&w) };
            let error = (gram - Array::eye(rows.min(columns), DType::F64)).abs().max_all().item();
            assert!(error < 1e-6, "{shape:?}: {error}");
        }
    }

    #[test]
    #[should_panic(expected = "a weight of shape [3] has no fans")]
    fn vectors_have_no_fans() {
        Init::XavierNormal { gain: 1.0 }.weight(&Stream::new(0), &[3]);
    }
}
