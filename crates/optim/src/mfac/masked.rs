//! Training without bringing removed weights back.

use lisse_array::Tree;

use crate::optimizer::{Optimizer, Oracle, State, StepInfo};

/// An optimizer after whose every step the parameters are multiplied by a mask of zeros and ones, as [`Pruner`](super::Pruner)
/// makes it.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::{LossOracle, Optimizer, Sgd, mfac::Masked};
/// let mask = Array::from_slice(&[1.0f64, 0.0], &[2]);
/// let optimizer = Masked { mask, inner: Sgd::new(0.5) };
/// let mut x = Array::from_slice(&[3.0f64, 0.0], &[2]);
/// let mut state = optimizer.init(&x);
/// optimizer.step(&mut x, &mut state, &mut LossOracle(|x: &Array| (x - 1.0).square().sum_all()));
/// assert_eq!(x.to_vec::<f64>(), [1.0, 0.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Masked<P, O> {
    /// Shaped like the parameters: one where a parameter is kept, zero where it is removed.
    pub mask: P,
    /// The optimizer.
    pub inner: O,
}

/// Parameters times mask; what is not trained stays.
pub(super) fn masked<P: Tree>(params: &P, mask: &P) -> P {
    let mut trainable = params.trainable().into_iter();
    params
        .zip_map(mask, |x, keep| if trainable.next() == Some(true) { x * keep } else { x.clone() })
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for Masked<P, O> {
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
        let info = self.inner.step(params, state, oracle);
        *params = masked(params, &self.mask);
        info
    }
}
