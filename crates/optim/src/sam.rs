//! Sharpness-aware minimization.

use lisse_array::fused::displaced_of_all;
use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::optimizer::{Optimizer, Oracle, State, StepInfo, WithGradient};

/// Sharpness-aware minimization (Foret et al., 2021) and its scale-invariant form ASAM (Kwon et al., 2021), around any
/// optimizer: the inner optimizer sees the gradient at `x + e(x)`, the first-order worst point of a ball.
///
/// SAM: `e = rho g / |g|` with one global norm. ASAM: `e = rho T^2 g / |T g|` with `T = |x| + eta`.
///
/// One step costs two gradients. The parameters themselves are never moved to the perturbed point, so nothing has to be
/// restored.
///
/// A loss that is not finite at the perturbed point alone gives a step with non-finite metric `sharpness`; if its gradient is not
/// finite either, so are the parameters after that step, and a run stops there and names both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sam<O> {
    /// Radius of the ball; 0 gives the inner optimizer exactly.
    pub rho: f64,
    /// Whether the ball is measured relative to the parameters (ASAM).
    pub adaptive: bool,
    /// `eta` of ASAM: keeps small parameters movable.
    pub eta: f64,
    /// The optimizer.
    pub inner: O,
}

impl<O> Sam<O> {
    /// SAM with radius `rho` (0.05 is the paper's usual choice).
    pub fn new(rho: f64, inner: O) -> Sam<O> {
        Sam { rho, adaptive: false, eta: 0.01, inner }
    }

    /// ASAM with radius `rho` (0.5 is the paper's usual choice).
    pub fn adaptive(rho: f64, inner: O) -> Sam<O> {
        Sam { rho, adaptive: true, eta: 0.01, inner }
    }

    /// Loss at `x`, gradient at the perturbed point, norm of the gradient at `x`, and sharpness `f(x + e) - f(x)`.
    pub(crate) fn worst_of<P: Tree>(&self, oracle: &mut dyn Oracle<P>, x: &P) -> Worst<P> {
        let (value, gradient) = oracle.value_and_grad(x);
        let norm = gradient.norm();
        let perturbed = if self.adaptive {
            x.axpy(1.0, &self.perturbation(x, &gradient))
        } else {
            displaced(x, gradient, self.rho / (norm + FLOOR))
        };
        let (worst, gradient) = oracle.value_and_grad(&perturbed);
        Worst { value, gradient, norm, sharpness: worst - value }
    }

    /// The perturbation for gradient `g` at `x`; buffers stay untouched.
    pub fn perturbation<P: Tree>(&self, x: &P, g: &P) -> P {
        if !self.adaptive {
            return g.scale(self.rho / (g.norm() + FLOOR));
        }
        let scaled =
            x.zip_map(
                g,
                |x, g| if x.dtype().is_float() { (x.abs() + self.eta) * g } else { g.clone() },
            );
        let factor = self.rho / (scaled.norm() + FLOOR);
        x.zip_map(&scaled, |x: &Array, s| {
            if x.dtype().is_float() { (x.abs() + self.eta) * s * factor } else { s.clone() }
        })
    }
}

/// Tiny: at a stationary point the direction is undefined and the perturbation zero.
const FLOOR: f64 = 1e-12;

/// `x + factor g` in the buffers of `g`.
fn displaced<P: Tree>(x: &P, mut g: P, factor: f64) -> P {
    let trainable = x.trainable();
    let leaves = x.leaves().into_iter().zip(g.take_leaves()).zip(&trainable);
    let moved = leaves.filter(|(_, trained)| **trained).map(|((x, g), _)| ([g], x, factor));
    let mut moved = displaced_of_all(moved.collect()).into_iter().flatten();
    let at = |(x, trained): (&Array, bool)| if trained { moved.next() } else { Some(x.clone()) };
    x.with_leaves(x.leaves().into_iter().zip(trainable).filter_map(at))
}

/// What SAM finds around a point.
pub(crate) struct Worst<P> {
    pub value: f64,
    pub gradient: P,
    pub norm: f64,
    pub sharpness: f64,
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for Sam<O> {
    fn init(&self, params: &P) -> State<P> {
        self.inner.init(params)
    }
    fn batch_size(&self, state: &State<P>) -> Option<usize> {
        self.inner.batch_size(state)
    }
    fn averaged(&self, params: &P, state: &State<P>) -> Option<P> {
        self.inner.averaged(params, state)
    }
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        if self.rho == 0.0 {
            return self.inner.step(params, state, oracle);
        }
        let (mut norm, mut sharpness) = (f64::NAN, f64::NAN);
        let mut perturbed = WithGradient::new(oracle, |inner, params: &P| {
            let worst = self.worst_of(inner, params);
            (norm, sharpness) = (worst.norm, worst.sharpness);
            (worst.value, worst.gradient)
        });
        let mut info = self.inner.step(params, state, &mut perturbed);
        info.metrics.extend([("gradient_norm", norm), ("sharpness", sharpness)]);
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adam, LossOracle, Sgd};

    fn quadratic(x: &Array) -> Array {
        let a = Array::from_slice(&[3.0f64, 1.0, 1.0, 2.0], &[2, 2]);
        x.matmul(&a.matmul(x)) * 0.5
    }

    #[test]
    fn worked_quadratic() {
        // 1/2 x'Ax, A = [[3,1],[1,2]], x = (1,-1): g = (2,-1); rho .1: e = (.0894427,-.0447214), gradient there (2.2236068, -1).
        let x = Array::from_slice(&[1.0f64, -1.0], &[2]);
        let sam = Sam::new(0.1, Sgd::new(1.0));
        let e = sam.perturbation(&x, &Array::from_slice(&[2.0f64, -1.0], &[2])).to_vec::<f64>();
        assert!((e[0] - 0.0894427).abs() < 1e-7 && (e[1] + 0.0447214).abs() < 1e-7);
        let mut params = x.clone();
        let mut state = sam.init(&params);
        sam.step(&mut params, &mut state, &mut LossOracle(quadratic));
        let step = (x - params).to_vec::<f64>();
        assert!((step[0] - 2.2236068).abs() < 1e-7 && (step[1] + 1.0).abs() < 1e-12);
    }

    #[test]
    fn radius_zero_is_the_inner_optimizer_bit_for_bit() {
        let x = Array::from_slice(&[1.0f32, -1.0, 0.3], &[3]);
        let loss = |x: &Array| (x.square().square() + x.exp()).sum_all();
        let run = |optimizer: &dyn Optimizer<Array>| {
            let mut params = x.clone();
            let mut state = optimizer.init(&params);
            for _ in 0..20 {
                optimizer.step(&mut params, &mut state, &mut LossOracle(loss));
            }
            params.to_vec::<f32>()
        };
        assert_eq!(run(&Sam::new(0.0, Adam::new(0.1))), run(&Adam::new(0.1)));
    }

    #[test]
    fn the_norm_of_the_perturbation_is_rho_over_all_leaves() {
        let x = (Array::from_slice(&[1.0f64, 2.0], &[2]), Array::scalar(3.0f64));
        let g = (Array::from_slice(&[0.3f64, -2.0], &[2]), Array::scalar(0.7f64));
        assert!((Sam::new(0.05, ()).perturbation(&x, &g).norm() - 0.05).abs() < 1e-12);
        // ASAM: |T^-1 e| = rho.
        let e = Sam::adaptive(0.5, ()).perturbation(&x, &g);
        let relative = x.zip_map(&e, |x, e| e / (x.abs() + 0.01));
        assert!((relative.norm() - 0.5).abs() < 1e-9);
    }
}
