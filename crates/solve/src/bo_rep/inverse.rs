//! Products with the inverse of the lower Hessian.

use super::Inverse;
use crate::bilevel::Warning;
use crate::bilevel::vector::{axpy, dot, norm};

/// A new `z`, and the least curvature `v' H v / v' v` met on the way.
pub(crate) struct Inversion {
    pub(crate) z: Vec<f64>,
    least: f64,
}

/// `v' H v / v' v`, 0 for `v = 0`.
fn along(v: &[f64], product: &[f64]) -> f64 {
    let square = dot(v, v);
    if square > 0.0 { dot(v, product) / square } else { 0.0 }
}

impl Inversion {
    /// `z - nu (H z - right)`
    pub(crate) fn running(z: &[f64], product: &[f64], right: &[f64], nu: f64) -> Inversion {
        let least = along(z, product);
        let mut z = z.to_vec();
        axpy(&mut z, -nu, product);
        axpy(&mut z, nu, right);
        Inversion { z, least }
    }

    /// If the lower level is not convex.
    pub(crate) fn warning(&self) -> Option<Warning> {
        (self.least < -1e-12).then_some(Warning::NegativeCurvature { curvature: self.least })
    }
}

/// From `z` towards `H^-1 right`. `product` gets a vector and the number of the sample of `H`.
pub(crate) fn invert(
    inverse: Inverse,
    nu: f64,
    z: &[f64],
    right: &[f64],
    mut product: impl FnMut(&[f64], u64) -> Vec<f64>,
) -> Inversion {
    match inverse {
        Inverse::Running => Inversion::running(z, &product(z, 0), right, nu),
        Inverse::LeastSquares => {
            let mut residual = product(z, 0);
            let least = along(z, &residual);
            axpy(&mut residual, -1.0, right);
            let slope = product(&residual, 0);
            let mut z = z.to_vec();
            axpy(&mut z, -nu * nu, &slope);
            Inversion { z, least }
        }
        Inverse::Neumann { terms } => {
            let (mut power, mut sum) = (right.to_vec(), vec![0.0; right.len()]);
            let mut least = f64::INFINITY;
            for j in 0..terms as u64 {
                axpy(&mut sum, nu, &power);
                // The last power is not used.
                if j + 1 < terms as u64 {
                    let next = product(&power, j);
                    least = least.min(along(&power, &next));
                    axpy(&mut power, -nu, &next);
                }
            }
            Inversion { z: sum, least }
        }
        Inverse::Cg { iterations, tolerance } => {
            conjugate_gradients(iterations, tolerance, z, right, |v| product(v, 0))
        }
    }
}

/// Leaves at a direction without positive curvature: beyond it the quadratic has no minimum.
fn conjugate_gradients(
    iterations: usize,
    tolerance: f64,
    z: &[f64],
    right: &[f64],
    mut product: impl FnMut(&[f64]) -> Vec<f64>,
) -> Inversion {
    let mut z = z.to_vec();
    let mut residual = right.to_vec();
    let mut done = 0;
    if z.iter().any(|v| *v != 0.0) {
        axpy(&mut residual, -1.0, &product(&z));
        done = 1;
    }
    let small = tolerance * norm(right);
    let mut direction = residual.clone();
    let mut square = dot(&residual, &residual);
    let mut least = f64::INFINITY;
    while done < iterations && square.sqrt() > small {
        let image = product(&direction);
        done += 1;
        least = least.min(along(&direction, &image));
        let bent = dot(&direction, &image);
        if bent <= 0.0 || !bent.is_finite() {
            break;
        }
        let length = square / bent;
        axpy(&mut z, length, &direction);
        axpy(&mut residual, -length, &image);
        let next = dot(&residual, &residual);
        let share = next / square;
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + share * *d);
        square = next;
    }
    Inversion { z, least }
}
