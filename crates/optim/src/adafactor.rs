//! Adafactor.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::groups::LeafSettings;
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// Adafactor (Shazeer and Stern, ICML 2018): second moments in the memory of one row and one column, steps relative to the
/// parameters.
///
/// For an array `x` with gradient `g`, step `t` from 1, and `b = 1 - t^-0.8`:
/// `r = b r + (1 - b) mean_columns(g^2 + eps1)`, `c` likewise over rows, `V = r c / mean(r)` (the last two axes; arrays with fewer
/// keep `V` whole); `u = g / sqrt(V)`; `u /= max(1, rms(u) / d)`; `x -= max(eps2, rms(x)) min(rate, t^-1/2) u`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adafactor {
    /// Largest step relative to the parameters' root mean square; 0.01 in the paper.
    pub learning_rate: Schedule,
    /// Power of `t` in the decay of the second moment.
    pub decay_power: f64,
    /// `eps1`: added to squared gradients.
    pub epsilon: f64,
    /// `eps2`: parameters count as at least this large.
    pub smallest: f64,
    /// `d`: bound on the root mean square of an update before its rate.
    pub bound: f64,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl Adafactor {
    /// The paper's defaults with the given relative step.
    pub fn new(learning_rate: impl Into<Schedule>) -> Adafactor {
        Adafactor {
            learning_rate: learning_rate.into(),
            decay_power: 0.8,
            epsilon: 1e-30,
            smallest: 1e-3,
            bound: 1.0,
            groups: Groups::default(),
        }
    }

    /// `[x, rows, columns]` after step `t`: `g` is followed, `squared` scales.
    fn update(
        &self,
        [x, rows, columns]: [&Array; 3],
        [g, squared]: [&Array; 2],
        t: u64,
        leaf: &LeafSettings,
    ) -> [Array; 3] {
        let decay = 1.0 - (t as f64).powf(-self.decay_power);
        let square = squared.square() + self.epsilon;
        let mix = |old: &Array, new: &Array| (old * decay).add_scaled(1.0 - decay, new);
        let (rows, columns, root) = if is_factored(x) {
            let rows = mix(rows, &square.mean_keep(&[-1]));
            let columns = mix(columns, &square.mean_keep(&[-2]));
            // Roots before the product: of a row and a column without gradients it would be 0 in f32.
            let root = (&rows / rows.mean_keep(&[-2])).sqrt() * columns.sqrt();
            (rows, columns, root)
        } else {
            let whole = mix(rows, &square);
            let root = whole.sqrt();
            (whole, columns.clone(), root)
        };
        let u = g / root;
        let size = rms(x).max(self.smallest) * leaf.learning_rate.min((t as f64).powf(-0.5));
        let step = size / (rms(&u) / self.bound).max(1.0);
        [x.add_scaled(-step, &u), rows, columns]
    }
}

fn is_factored(x: &Array) -> bool {
    x.rank() >= 2
}

fn rms(x: &Array) -> f64 {
    x.square().mean_all().item().sqrt()
}

impl<P: Tree> Optimizer<P> for Adafactor {
    fn init(&self, params: &P) -> State<P> {
        let rows = params
            .map(|x| if is_factored(x) { x.mean_keep(&[-1]).zeros_like() } else { x.zeros_like() });
        // Arrays that are not factored have no columns: an empty leaf.
        let columns = params.map(|x| {
            if is_factored(x) {
                x.mean_keep(&[-2]).zeros_like()
            } else {
                Array::zeros(&[0], x.dtype())
            }
        });
        State::new().with("rows", rows).with("columns", columns)
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient, unbounded) = oracle.value_and_moment_grads(params);
        let rate = self.learning_rate.at(state.schedule_step());
        state.step += 1;
        let settings = self.groups.settings(params, rate, 0.0);
        let rows = state.trees.remove("rows").expect("made by init");
        let columns = state.trees.remove("columns").expect("made by init");
        let (old_rows, old_columns) = (rows.leaves(), columns.leaves());
        let followed = gradient.leaves();
        let squared = unbounded.as_ref().map_or_else(|| followed.clone(), Tree::leaves);
        let mut updated: [Vec<Array>; 3] = [Vec::new(), Vec::new(), Vec::new()];
        for (i, (x, s)) in params.leaves().into_iter().zip(&settings).enumerate() {
            let old = [x, old_rows[i], old_columns[i]];
            let new = if s.trained && !x.is_empty() {
                self.update(old, [followed[i], squared[i]], state.step, s)
            } else {
                old.map(Array::clone)
            };
            for (list, array) in updated.iter_mut().zip(new) {
                list.push(array);
            }
        }
        let [x, new_rows, new_columns] = updated;
        let (rows, columns) = (rows.with_leaves(new_rows), columns.with_leaves(new_columns));
        state.trees.insert("rows".into(), rows);
        state.trees.insert("columns".into(), columns);
        *params = params.with_leaves(x);
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use lisse_array::DType;

    use super::*;
    use crate::LossOracle;

    /// One step on a linear loss with gradient `g` at `x`.
    fn step(x: &Array, g: &Array) -> (Array, State<Array>) {
        let optimizer = Adafactor::new(0.01);
        let mut moved = x.clone();
        let mut state = optimizer.init(x);
        optimizer.step(&mut moved, &mut state, &mut LossOracle(|x: &Array| (x * g).sum_all()));
        (x - moved, state)
    }

    #[test]
    fn a_gradient_of_rank_one_gives_signs_at_first() {
        // (1,2)' (3,-1): g^2 factors exactly, b = 0 at t = 1, so u = sign(g); rms(x) = 2, relative step .01.
        let g = Array::from_slice(&[3.0f64, -1.0, 6.0, -2.0], &[2, 2]);
        let (moved, state) = step(&Array::full(&[2, 2], 2.0, g.dtype()), &g);
        for (d, expected) in moved.to_vec::<f64>().into_iter().zip([0.02, -0.02, 0.02, -0.02]) {
            assert!((d - expected).abs() < 1e-15, "{d}");
        }
        assert_eq!(state.trees["rows"].to_vec::<f64>(), [5.0, 20.0]);
        assert_eq!(state.trees["columns"].to_vec::<f64>(), [22.5, 2.5]);
    }

    #[test]
    fn sums_and_means_give_the_same_moment() {
        // g^2 = [[1, 4], [9, 1]]: sums r = (5, 10), c = (10, 5), V = r c / 15.
        let g = Array::from_slice(&[1.0f64, 2.0, -3.0, 1.0], &[2, 2]);
        let (moved, _) = step(&Array::zeros(&[2, 2], g.dtype()), &g);
        let moment = [50.0 / 15.0, 25.0 / 15.0, 100.0 / 15.0, 50.0 / 15.0];
        let u: Vec<f64> =
            g.to_vec::<f64>().iter().zip(moment).map(|(g, v): (&f64, f64)| g / v.sqrt()).collect();
        let rms = (u.iter().map(|u| u * u).sum::<f64>() / 4.0).sqrt();
        for (d, u) in moved.to_vec::<f64>().into_iter().zip(u) {
            // Parameters of zero count as 1e-3.
            assert!((d - 1e-5 * u / rms.max(1.0)).abs() < 1e-18, "{d}");
        }
    }

    #[test]
    fn vectors_keep_the_whole_moment() {
        let g = Array::from_slice(&[1.0f64, -2.0, 0.5], &[3]);
        let (moved, state) = step(&g.ones_like(), &g);
        for (d, sign) in moved.to_vec::<f64>().into_iter().zip([1.0, -1.0, 1.0]) {
            assert!((d - 0.01 * sign).abs() < 1e-15, "{d}");
        }
        assert_eq!(state.trees["columns"].len(), 0);
    }

    #[test]
    fn rows_and_columns_without_gradients_stay() {
        let x = Array::ones(&[2, 2], DType::F32);
        let g = Array::from_slice(&[0.0f32, 0.0, 0.0, 3.0], &[2, 2]);
        let change = step(&x, &g).0.to_vec::<f32>();
        assert_eq!(change[..3], [0.0; 3]);
        assert!(change[3].is_finite() && change[3] != 0.0);
    }
}
