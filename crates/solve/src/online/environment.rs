//! Where losses come from.

use super::{Fixed, Loss, OnlineError, Setting};

/// A source of losses between stochastic and adversarial: in round `t` nature picks a distribution, `f_t` is drawn from it, and `F_t` is its mean.
///
/// Every round is a function of its number (and of the environment's seed), so that rounds can be looked at again.
pub trait Environment: Sync {
    /// `X` and what a learner may know; `horizon` is filled in by the caller.
    fn setting(&self) -> Setting;

    /// `f_t`, `t` from 1.
    fn round(&self, t: u64) -> Box<dyn Loss + '_>;

    /// The point of `X` with the least mean of `f_1, ..., f_T`, that mean, and how good it surely is.
    ///
    /// # Errors
    /// A search that does not converge.
    fn best_fixed(&self, rounds: u64) -> Result<Fixed, OnlineError>;

    /// A minimizer of `F_t` over `X`: what dynamic regret is measured against.
    ///
    /// # Errors
    /// A search that does not converge.
    fn best_at(&self, t: u64) -> Result<Vec<f64>, OnlineError>;

    /// `sigma_t^2 = E ||grad f_t - grad F_t||^2` and `sup_x ||grad F_t - grad F_{t-1}||^2` (with `F_0 = 0`), exactly or as the largest over a few
    /// probe points.
    fn difficulty(&self, t: u64) -> (f64, f64);

    /// `F(x) - min F` where all `F_t` are the same `F`: what an average of the points should make small.
    ///
    /// # Errors
    /// A search that does not converge.
    fn excess(&self, x: &[f64]) -> Result<Option<f64>, OnlineError> {
        let _ = x;
        Ok(None)
    }
}
