//! Toy densities in the plane.

use std::f64::consts::{PI, TAU};

use lisse_array::{Array, DType, Stream};
use serde::{Deserialize, Serialize};

use super::{Gaussian, Mixture, Noise};

/// A distribution of points in the plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planar {
    /// `(0.5 N + c_k) / sqrt 2` with eight centres on a circle of radius 4
    EightGaussians,
    /// Two arms of a spiral with noise
    TwoSpirals,
    /// Uniform on the eight black fields of a board
    Checkerboard,
    /// Four circles with noise
    Rings,
    /// Five bent vanes
    Pinwheel,
}

impl Planar {
    /// `count` independent points, `[count, 2]`.
    pub fn sample(self, count: usize, stream: &Stream, dtype: DType) -> Array {
        let uniform = stream.child("uniform").uniform(&[count, 3], DType::F64).to_vec::<f64>();
        let normal = stream.child("normal").normal(&[count, 2], DType::F64).to_vec::<f64>();
        let points: Vec<f64> = uniform
            .chunks_exact(3)
            .zip(normal.chunks_exact(2))
            .flat_map(|(u, n)| self.point([u[0], u[1], u[2]], [n[0], n[1]]))
            .collect();
        Array::from_vec(points, &[count, 2]).cast(dtype)
    }

    /// From three uniform and two normal numbers.
    fn point(self, u: [f64; 3], n: [f64; 2]) -> [f64; 2] {
        match self {
            Planar::EightGaussians => {
                let [x, y] = centre((u[0] * 8.0) as usize);
                [(0.5 * n[0] + x) / 2f64.sqrt(), (0.5 * n[1] + y) / 2f64.sqrt()]
            }
            Planar::TwoSpirals => {
                // One number serves for the arm and for the place on it.
                let (arm, along) = split(u[0], 2);
                let t = along.sqrt() * 3.0 * PI;
                let sign = if arm == 0 { 1.0 } else { -1.0 };
                let (x, y) = (-t * t.cos() + u[1] / 2.0, t * t.sin() + u[2] / 2.0);
                [sign * x / 3.0 + 0.1 * n[0], sign * y / 3.0 + 0.1 * n[1]]
            }
            Planar::Checkerboard => {
                let x = 4.0 * u[0] - 2.0;
                let row = if u[2] < 0.5 { 0.0 } else { 2.0 };
                let y = u[1] - row + x.floor().rem_euclid(2.0);
                [2.0 * x, 2.0 * y]
            }
            Planar::Rings => {
                let radius = 3.0 * [1.0, 0.75, 0.5, 0.25][split(u[0], 4).0];
                let (y, x) = (TAU * u[1]).sin_cos();
                [radius * x + 0.08 * n[0], radius * y + 0.08 * n[1]]
            }
            Planar::Pinwheel => {
                let (a, b) = (1.0 + 0.3 * n[0], 0.1 * n[1]);
                let (sin, cos) = (TAU * split(u[0], 5).0 as f64 / 5.0 + 0.25 * a.exp()).sin_cos();
                [2.0 * (a * cos - b * sin), 2.0 * (a * sin + b * cos)]
            }
        }
    }

    /// `log p` of every row, where it has a closed form.
    pub fn log_density(self, x: &Array) -> Option<Array> {
        match self {
            Planar::EightGaussians => Some(eight_gaussians(x.dtype()).log_density(x)),
            Planar::Checkerboard => {
                let level = -(32f64.ln());
                let black = |p: &[f64]| {
                    let (x, y) = (p[0] / 2.0, p[1] / 2.0);
                    let inside = (-2.0..2.0).contains(&x) && (-2.0..2.0).contains(&y);
                    let dark = (x.floor() + y.floor()).rem_euclid(2.0) == 0.0;
                    if inside && dark { level } else { f64::NEG_INFINITY }
                };
                let values: Vec<f64> = x.to_f64_vec().chunks_exact(2).map(black).collect();
                let n = values.len();
                Some(Array::from_vec(values, &[n]).cast(x.dtype()))
            }
            _ => None,
        }
    }
}

/// A uniform number as a choice among `parts` and a uniform rest.
fn split(u: f64, parts: usize) -> (usize, f64) {
    let scaled = u * parts as f64;
    let part = (scaled as usize).min(parts - 1);
    (part, scaled - part as f64)
}

fn centre(k: usize) -> [f64; 2] {
    let (sin, cos) = (k as f64 * PI / 4.0).sin_cos();
    [4.0 * cos, 4.0 * sin]
}

/// [`Planar::EightGaussians`] as a mixture.
fn eight_gaussians(dtype: DType) -> Mixture {
    let components = (0..8).map(|k| {
        let mean = Array::from_slice(&centre(k).map(|c| c / 2f64.sqrt()), &[2]).cast(dtype);
        Gaussian { mean, ..Gaussian::isotropic(2, 0.5 / 2f64.sqrt(), dtype) }
    });
    Mixture {
        log_weights: Array::full(&[8], -(8f64.ln()), dtype),
        components: components.collect(),
    }
}
