//! A pendulum to be held upright by a torque, and an expert who can.

use lisse_array::{Array, Stream};

/// Seconds of a step.
const STEP_SECS: f64 = 0.05;
/// Gravity over length, 1/s^2.
const GRAVITY: f64 = 9.81;
/// Friction, 1/s.
const FRICTION: f64 = 0.1;
/// Largest torque, in units of angular acceleration.
const MOST_TORQUE: f64 = 8.0;
/// Start angles lie within this, rad.
const START_ANGLE: f64 = 0.6;
/// Costs of angle, rate and torque that the expert minimizes.
const COSTS: [f64; 3] = [1.0, 0.1, 0.1];

/// The expert's torque is `-gain . (angle, rate)`: the linear-quadratic regulator of the pendulum linearised upright, which is
/// `x'' = 9.81 sin x - 0.1 x' + u` by semi-implicit Euler steps of 0.05 s.
#[derive(Clone, Copy, Debug)]
pub struct Expert {
    /// Per rad, per rad/s.
    pub gain: [f64; 2],
}

/// What happened on a rollout.
pub struct Rollout {
    /// States visited, `[states, 2]`: angle (rad) and rate (rad/s).
    pub states: Array,
    /// Share of the steps before the first fall, on average over the starts.
    pub upright: f64,
}

/// The state after one step under torque `u`.
fn advance([angle, rate]: [f64; 2], u: f64) -> [f64; 2] {
    let torque = u.clamp(-MOST_TORQUE, MOST_TORQUE);
    let rate = rate + STEP_SECS * (GRAVITY * angle.sin() - FRICTION * rate + torque);
    [angle + STEP_SECS * rate, rate]
}

impl Expert {
    /// Iterates the Riccati equation of the linearised pendulum to its fixed point.
    pub fn new() -> Expert {
        let h = STEP_SECS;
        // The step is (angle, rate) -> A (angle, rate) + B u.
        let a =
            [[1.0 + h * h * GRAVITY, h * (1.0 - h * FRICTION)], [h * GRAVITY, 1.0 - h * FRICTION]];
        let b = [h * h, h];
        let mut p = [[COSTS[0], 0.0], [0.0, COSTS[1]]];
        let mut gain = [0.0; 2];
        for _ in 0..10_000 {
            let pb = [p[0][0] * b[0] + p[0][1] * b[1], p[1][0] * b[0] + p[1][1] * b[1]];
            let weight = COSTS[2] + b[0] * pb[0] + b[1] * pb[1];
            let next: [f64; 2] =
                std::array::from_fn(|j| (pb[0] * a[0][j] + pb[1] * a[1][j]) / weight);
            // P = Q + A' P (A - B K)
            let closed: [[f64; 2]; 2] =
                std::array::from_fn(|i| std::array::from_fn(|j| a[i][j] - b[i] * next[j]));
            let pc: [[f64; 2]; 2] = std::array::from_fn(|i| {
                std::array::from_fn(|j| p[i][0] * closed[0][j] + p[i][1] * closed[1][j])
            });
            p = std::array::from_fn(|i| {
                std::array::from_fn(|j| {
                    let cost = if i == j { COSTS[i] } else { 0.0 };
                    cost + a[0][i] * pc[0][j] + a[1][i] * pc[1][j]
                })
            });
            let change = (next[0] - gain[0]).abs() + (next[1] - gain[1]).abs();
            gain = next;
            if change < 1e-13 {
                break;
            }
        }
        Expert { gain }
    }

    /// Its torques for states `[n, 2]`: `[n, 1]`, before the limit of the motor.
    pub fn torques(&self, states: &Array) -> Array {
        let gain = Array::from_slice(&self.gain, &[2, 1]);
        -states.matmul(&gain)
    }
}

/// Start angles for `count` rollouts, at rest.
pub fn starts(count: usize, stream: &Stream) -> Vec<[f64; 2]> {
    let angles = stream.uniform_range(-START_ANGLE, START_ANGLE, &[count], lisse_array::DType::F64);
    angles.to_vec::<f64>().into_iter().map(|angle| [angle, 0.0]).collect()
}

/// Rolls out a policy (states `[n, 2]` to torques `[n, 1]`) for `steps` steps from each start. A pendulum that falls beyond a
/// quarter turn starts again.
pub fn roll_out(policy: &dyn Fn(&Array) -> Array, starts: &[[f64; 2]], steps: usize) -> Rollout {
    let count = starts.len();
    let mut now = starts.to_vec();
    let mut visited: Vec<f64> = Vec::with_capacity(2 * count * steps);
    let mut fell: Vec<Option<usize>> = vec![None; count];
    for step in 0..steps {
        visited.extend(now.iter().flatten().copied());
        let states = Array::from_vec(now.concat(), &[count, 2]);
        let torques = policy(&states).to_f64_vec();
        for (i, torque) in torques.into_iter().enumerate() {
            now[i] = advance(now[i], torque);
            // Also catches what is not a number.
            if now[i][0].is_nan() || now[i][0].abs() > std::f64::consts::FRAC_PI_2 {
                fell[i].get_or_insert(step + 1);
                now[i] = starts[i];
            }
        }
    }
    let upright: usize = fell.iter().map(|fall| fall.unwrap_or(steps)).sum();
    Rollout {
        states: Array::from_vec(visited, &[count * steps, 2]),
        upright: upright as f64 / (count * steps).max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expert_solves_its_riccati_equation_and_holds_the_pendulum() {
        let expert = Expert::new();
        assert!(expert.gain[0] > GRAVITY, "{:?}", expert.gain);
        let policy = |states: &Array| expert.torques(states);
        let rollout = roll_out(&policy, &starts(50, &Stream::new(0)), 200);
        assert_eq!(rollout.upright, 1.0);
        assert_eq!(rollout.states.shape(), [10_000, 2]);
        let last = rollout.states.narrow(0, 9_950, 50).abs().max_all().item();
        assert!(last < 1e-3, "{last}");
        // No better linear policy nearby: the cost on the linearised pendulum rises in all directions.
        let cost = |gain: [f64; 2]| {
            let mut x = [0.01, 0.0];
            (0..2000).fold(0.0, |sum, _| {
                let u = -gain[0] * x[0] - gain[1] * x[1];
                let paid = COSTS[0] * x[0] * x[0] + COSTS[1] * x[1] * x[1] + COSTS[2] * u * u;
                let rate = x[1] + STEP_SECS * (GRAVITY * x[0] - FRICTION * x[1] + u);
                x = [x[0] + STEP_SECS * rate, rate];
                sum + paid
            })
        };
        let [a, b] = expert.gain;
        for moved in [[a + 0.01, b], [a - 0.01, b], [a, b + 0.01], [a, b - 0.01]] {
            assert!(cost(moved) > cost(expert.gain));
        }
    }

    #[test]
    fn without_torque_it_falls() {
        let policy = |states: &Array| states.narrow(1, 0, 1) * 0.0;
        assert!(roll_out(&policy, &[[0.3, 0.0]], 200).upright < 0.5);
    }
}
