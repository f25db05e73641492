//! Controls that switch between modes: switching times, relaxation and rounding, models of each mode from data.

use lisse_array::{Array, grad, vjp};

use super::PdeError;
use super::error::{require, same_length};
use crate::pareto::dense::dot;

type Field = Box<dyn Fn(&Array) -> Array + Send + Sync>;

/// `y' = f_m(y)` with a given order of modes and free switching times, by classical Runge-Kutta steps between them; the cost is a function of
/// the last state. The cost is an ordinary function of the times, differentiable to any order.
///
/// ```
/// use lisse_array::{Array, grad};
/// use lisse_solve::pde::switching::Switched;
/// // y' = -y until tau, then y' = 0.5 y; y(0) = 1, T = 1; cost y(T)^2 / 2
/// let system = Switched::new(&[1.0], 1.0, 20, |y: &Array| y.square().sum_all() * 0.5)?
///     .mode(|y: &Array| y * -1.0)
///     .mode(|y: &Array| y * 0.5);
/// let tau = Array::from_slice(&[0.4f64], &[1]);
/// let slope = grad(|t: &Array| system.cost(t))(&tau).item();
/// let last = (-0.4f64 + 0.5 * 0.6).exp();
/// assert!((slope + 1.5 * last * last).abs() < 1e-8); // (a1 - a2) y(T)^2
/// # Ok::<(), lisse_solve::pde::PdeError>(())
/// ```
pub struct Switched {
    modes: Vec<Field>,
    initial: Array,
    horizon: f64,
    steps: usize,
    cost: Field,
}

impl Switched {
    /// No modes yet; `steps` Runge-Kutta steps in each interval. Modes follow each other in the order in which they are added.
    ///
    /// # Errors
    /// [`PdeError::Option`] for a horizon not above 0 or no steps.
    pub fn new(
        initial: &[f64],
        horizon: f64,
        steps: usize,
        cost: impl Fn(&Array) -> Array + Send + Sync + 'static,
    ) -> Result<Switched, PdeError> {
        require(horizon > 0.0 && horizon.is_finite(), "horizon", horizon, "a number above 0")?;
        require(steps > 0, "steps", 0.0, "at least 1")?;
        let initial = Array::from_slice(initial, &[initial.len()]);
        Ok(Switched { modes: Vec::new(), initial, horizon, steps, cost: Box::new(cost) })
    }

    /// Adds the next mode.
    pub fn mode(mut self, f: impl Fn(&Array) -> Array + Send + Sync + 'static) -> Switched {
        self.modes.push(Box::new(f));
        self
    }

    /// The state after a mode has run for a time.
    fn flow(&self, mode: usize, y: &Array, duration: &Array) -> Array {
        let f = &self.modes[mode];
        let h = duration * (1.0 / self.steps as f64);
        let mut y = y.clone();
        for _ in 0..self.steps {
            let k1 = f(&y);
            let k2 = f(&(&y + &h * &k1 * 0.5));
            let k3 = f(&(&y + &h * &k2 * 0.5));
            let k4 = f(&(&y + &h * &k3));
            y = y + &h * (k1 + k2 * 2.0 + k3 * 2.0 + k4) * (1.0 / 6.0);
        }
        y
    }

    fn duration(&self, times: &Array, i: usize) -> Array {
        let last = self.modes.len() - 1;
        let at = |k: usize| times.narrow(0, k, 1);
        match i {
            0 if last == 0 => Array::full(&[1], self.horizon, times.dtype()),
            0 => at(0),
            _ if i == last => self.horizon - at(i - 1),
            _ => at(i) - at(i - 1),
        }
    }

    /// The cost for ascending switching times `[modes - 1]`. Panics if their number does not fit.
    #[track_caller]
    pub fn cost(&self, times: &Array) -> Array {
        assert!(
            times.len() + 1 == self.modes.len(),
            "Switched: {} switching times for {} modes",
            times.len(),
            self.modes.len()
        );
        let all = 0..self.modes.len();
        let last =
            all.fold(self.initial.clone(), |y, i| self.flow(i, &y, &self.duration(times, i)));
        (self.cost)(&last)
    }

    /// The gradient in the times by the adjoint formula `dJ/dtau_i = p(tau_i) . (f_i(y(tau_i)) - f_{i+1}(y(tau_i)))`: one pass forward and one
    /// back, for any number of times. Differs from the derivative of [`cost`](Self::cost) by the error of the time steps.
    pub fn gradient(&self, times: &Array) -> Vec<f64> {
        let mut states = vec![self.initial.clone()];
        for i in 0..self.modes.len() {
            states.push(self.flow(i, &states[i], &self.duration(times, i)));
        }
        let mut p = grad(|y: &Array| (self.cost)(y))(&states[self.modes.len()]);
        let mut gradient = vec![0.0; times.len()];
        for i in (0..times.len()).rev() {
            let duration = self.duration(times, i + 1);
            let (_, back) = vjp(|y: &Array| self.flow(i + 1, y, &duration), &states[i + 1]);
            p = back(&p);
            let jump = (self.modes[i])(&states[i + 1]) - (self.modes[i + 1])(&states[i + 1]);
            gradient[i] = (&p * jump).sum_all().item();
        }
        gradient
    }

    /// Moves the times to a local minimum by projected gradient steps: they stay ascending within the horizon. Returns times, cost
    /// and steps.
    ///
    /// # Errors
    /// [`PdeError`] for a wrong number of times.
    pub fn optimize(
        &self,
        start: &[f64],
        max_steps: usize,
    ) -> Result<(Vec<f64>, f64, usize), PdeError> {
        same_length("the switching times", start.len() + 1, self.modes.len())?;
        let array = |t: &[f64]| Array::from_slice(t, &[t.len()]);
        let mut times = ascending(start, self.horizon);
        let mut value = self.cost(&array(&times)).item();
        let mut step = 1.0;
        for taken in 0..max_steps {
            let gradient = grad(|t: &Array| self.cost(t))(&array(&times)).to_vec::<f64>();
            let mut moved = false;
            for _ in 0..40 {
                let raw: Vec<f64> =
                    times.iter().zip(&gradient).map(|(t, g)| t - step * g).collect();
                let trial = ascending(&raw, self.horizon);
                let away: Vec<f64> = trial.iter().zip(&times).map(|(a, b)| a - b).collect();
                let next = self.cost(&array(&trial)).item();
                if next <= value - 1e-4 / step * dot(&away, &away) && dot(&away, &away) > 0.0 {
                    let small = dot(&away, &away).sqrt() < 1e-10 * self.horizon;
                    (times, value, moved) = (trial, next, !small);
                    step *= 2.0;
                    break;
                }
                step *= 0.5;
            }
            if !moved {
                return Ok((times, value, taken));
            }
        }
        Ok((times, value, max_steps))
    }
}

/// The nearest ascending times within `[0, horizon]`: neighbours that are out of order are pooled at their mean.
fn ascending(times: &[f64], horizon: f64) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for &t in times {
        pools.push((t, 1));
        while let [.., (a, m), (b, n)] = pools[..]
            && a > b
        {
            pools.truncate(pools.len() - 2);
            pools.push(((a * m as f64 + b * n as f64) / (m + n) as f64, m + n));
        }
    }
    let expanded = pools.into_iter().flat_map(|(t, n)| std::iter::repeat_n(t, n));
    expanded.map(|t| t.clamp(0.0, horizon)).collect()
}

/// Modes from weights on the simplex, `weights[interval][mode]`, over intervals of length `dt`: at each interval the mode whose accumulated weight is
/// furthest ahead of its use (Sager, Bock and Diehl, 2012). The accumulated difference stays below `dt` for two modes, and within `(modes - 1) dt`
/// in general.
///
/// ```
/// use lisse_solve::pde::switching::sum_up_rounding;
/// let modes = sum_up_rounding(&vec![vec![0.25, 0.75]; 4], &[0.1; 4]);
/// assert_eq!(modes.iter().filter(|&&m| m == 1).count(), 3);
/// ```
pub fn sum_up_rounding(weights: &[Vec<f64>], dt: &[f64]) -> Vec<usize> {
    let mut ahead = vec![0.0; weights.first().map_or(0, Vec::len)];
    let choose = |(w, dt): (&Vec<f64>, &f64)| {
        ahead.iter_mut().zip(w).for_each(|(a, w)| *a += w * dt);
        let best = (0..ahead.len()).fold(0, |m, i| if ahead[i] > ahead[m] { i } else { m });
        ahead[best] -= dt;
        best
    };
    weights.iter().zip(dt).map(choose).collect()
}

/// A linear model of one mode in observables `psi`: `psi(y(t + dt)) = psi(y(t)) K`, with `K = pinv(Psi(Y)) Psi(Y')` from data (extended dynamic mode
/// decomposition; Williams, Kevrekidis and Rowley, 2015).
#[derive(Clone, Debug, PartialEq)]
pub struct Koopman {
    /// Row-major.
    matrix: Vec<f64>,
    size: usize,
}

impl Koopman {
    /// From the observables of states and of their successors, one row each.
    ///
    /// # Errors
    /// [`PdeError`] for no rows, rows of different length, or numbers that are not finite.
    pub fn fit(now: &[Vec<f64>], next: &[Vec<f64>]) -> Result<Koopman, PdeError> {
        require(!now.is_empty(), "rows", 0.0, "at least 1")?;
        same_length("the list of successors", next.len(), now.len())?;
        let size = now[0].len();
        for row in now.iter().chain(next) {
            same_length("a row of observables", row.len(), size)?;
        }
        let array = |rows: &[Vec<f64>]| Array::from_vec(rows.concat(), &[rows.len(), size]);
        let matrix = array(now).pinv(None)?.matmul(&array(next)).to_vec();
        Ok(Koopman { matrix, size })
    }

    /// The row-major matrix `K`.
    pub fn matrix(&self) -> &[f64] {
        &self.matrix
    }

    /// The observables one step later.
    pub fn step(&self, psi: &[f64]) -> Vec<f64> {
        let mut next = vec![0.0; self.size];
        for (x, row) in psi.iter().zip(self.matrix.chunks_exact(self.size)) {
            next.iter_mut().zip(row).for_each(|(n, k)| *n += x * k);
        }
        next
    }
}

/// Model predictive control over modes: the sequence of `horizon` modes with the least sum of stage costs, by trying all `models^horizon`, with
/// its cost. Apply its first mode, measure, and ask again.
///
/// # Errors
/// [`PdeError::Option`] for no models, no horizon, or more than a million sequences.
pub fn best_sequence(
    models: &[Koopman],
    psi: &[f64],
    horizon: usize,
    stage: impl Fn(&[f64]) -> f64,
) -> Result<(Vec<usize>, f64), PdeError> {
    let count = (models.len() as f64).powi(horizon as i32);
    let fits = (1.0..=1e6).contains(&count) && horizon > 0;
    require(fits, "models^horizon", count, "from 1 to a million sequences")?;
    let mut best = (Vec::new(), f64::INFINITY);
    let mut stack = vec![(Vec::new(), psi.to_vec(), 0.0)];
    while let Some((modes, psi, cost)) = stack.pop() {
        if modes.len() == horizon {
            if cost < best.1 {
                best = (modes, cost);
            }
            continue;
        }
        for (m, model) in models.iter().enumerate().rev() {
            let next = model.step(&psi);
            let mut longer: Vec<usize> = modes.clone();
            longer.push(m);
            let cost = cost + stage(&next);
            stack.push((longer, next, cost));
        }
    }
    Ok(best)
}
