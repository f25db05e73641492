//! Derivatives against finite differences.

use crate::{Array, DType, Tree, grad};

/// How far an exact derivative and its finite difference may lie apart, relative to the larger of the two and to one.
pub const TOLERANCE: f64 = 1e-6;

/// Steps of the finite differences, tried in this order. Rounding costs the last one about 1e-9 of the value.
const STEPS: [f64; 5] = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7];

/// A derivative that differs from its finite difference.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "derivative of order {order}, direction {direction}: exact {exact:e}, finite difference {difference:e} \
     (relative error {error:e} exceeds {TOLERANCE:e})"
)]
pub struct Mismatch {
    /// Order of the derivative that fails; the lower ones agree.
    pub order: u32,
    /// Number of the direction along which it fails.
    pub direction: usize,
    /// The exact derivative along the direction.
    pub exact: f64,
    /// The finite difference.
    pub difference: f64,
    /// Their relative distance.
    pub error: f64,
}

/// Checks the derivatives of `f` at `x` up to `order` against finite differences, and returns the largest relative error.
///
/// All trained leaves must be f64. An array-valued `f` is reduced to a scalar by fixed weights that give every element a
/// say. The derivative of order `k` is checked as the gradient of the `k-1`-th directional derivative, along random
/// directions and along each of the first coordinates, by the five-point stencil with error `O(h^4)`.
///
/// A kink within two steps of `x` (relu, clamp, sorting) makes the finite difference wrong, not the derivative. The step is
/// therefore 1e-3, and where that disagrees smaller down to 1e-7: a wrong derivative disagrees with all of them. Where `x` lies
/// on a kink, choose another point.
///
/// ```
/// use lisse_array::{Array, check};
/// let x = Array::from_slice(&[0.3f64, -1.2], &[2]);
/// assert!(check::gradient(|x: &Array| x.tanh() * x.exp(), &x, 3).is_ok());
/// assert!(check::gradient(|x: &Array| x.stop_gradient() * x, &x, 1).is_err());
/// ```
pub fn gradient<P: Tree>(f: impl Fn(&P) -> Array, x: &P, order: u32) -> Result<f64, Mismatch> {
    let scalar = |x: &P| weigh(&f(x));
    let mut worst = 0.0f64;
    for k in 1..=order {
        let lower: &dyn Fn(&P) -> Array = &|x| directional(&scalar, x, k - 1);
        worst = worst.max(first_order(lower, x, k)?);
    }
    Ok(worst)
}

/// Weighted sum with weights that no symmetry of `f` hides.
fn weigh(y: &Array) -> Array {
    if y.len() == 1 {
        return y.reshape(&[]);
    }
    let weights = (0..y.len()).map(|i| (1.0 + i as f64 * 0.7).cos() + 0.1).collect();
    (y * Array::from_vec::<f64>(weights, y.shape()).cast(y.dtype())).sum_all()
}

/// The `order`-fold directional derivative of `f` at `x`, along fixed directions.
fn directional<P: Tree>(f: &dyn Fn(&P) -> Array, x: &P, order: u32) -> Array {
    if order == 0 {
        return f(x);
    }
    let along = direction(x, 1000 + order as usize);
    grad(|x: &P| directional(f, x, order - 1))(x).dot_array(&along)
}

/// A pseudo-random direction with entries of order one; buffers and integers stay zero.
fn direction<P: Tree>(x: &P, number: usize) -> P {
    let mut state = number as u64 + 1;
    let mut next = || {
        // splitmix64: good enough to be in general position, and without dependencies.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0
    };
    x.map(|leaf| {
        let values = (0..leaf.len()).map(|_| next()).collect();
        Array::from_vec::<f64>(values, leaf.shape()).cast(leaf.dtype())
    })
}

/// The unit vector of the `i`-th trained coordinate, if there is one.
fn coordinate<P: Tree>(x: &P, i: usize) -> Option<P> {
    let trainable = x.trainable();
    let (mut start, mut leaf_index, mut found) = (0, 0, false);
    let unit = x.map(|leaf| {
        let trained = trainable[leaf_index];
        leaf_index += 1;
        let mut values = vec![0.0; leaf.len()];
        if trained {
            if i >= start && i - start < leaf.len() {
                values[i - start] = 1.0;
                found = true;
            }
            start += leaf.len();
        }
        Array::from_vec::<f64>(values, leaf.shape()).cast(leaf.dtype())
    });
    found.then_some(unit)
}

fn first_order<P: Tree>(f: &dyn Fn(&P) -> Array, x: &P, order: u32) -> Result<f64, Mismatch> {
    const RANDOM: usize = 3;
    const COORDINATES: usize = 24;
    let gradient = grad(|x: &P| f(x))(x);
    let trainable = x.trainable();
    for (leaf, trained) in x.leaves().into_iter().zip(&trainable) {
        assert!(
            !trained || leaf.dtype() == DType::F64,
            "check::gradient: finite differences need f64, a leaf is {}",
            leaf.dtype()
        );
    }
    let directions = (0..RANDOM)
        .map(|i| Some(direction(x, i)))
        .chain((0..COORDINATES).map(|i| coordinate(x, i)))
        .take_while(Option::is_some)
        .flatten();
    let mut worst = 0.0f64;
    for (number, v) in directions.enumerate() {
        let exact = gradient.dot(&v);
        let (difference, error) = closest(exact, |t| f(&x.axpy(t, &v)).item());
        if error > TOLERANCE {
            return Err(Mismatch { order, direction: number, exact, difference, error });
        }
        worst = worst.max(error);
    }
    Ok(worst)
}

/// The finite difference and its relative distance from the exact derivative: with the largest step that agrees, or of
/// those that do not, the closest.
fn closest(exact: f64, f: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut best = (f64::NAN, f64::INFINITY);
    for h in STEPS {
        let difference = stencil(&f, h);
        let error = (exact - difference).abs() / exact.abs().max(difference.abs()).max(1.0);
        if error < best.1 {
            best = (difference, error);
        }
        if best.1 <= TOLERANCE {
            break;
        }
    }
    best
}

/// Five-point central difference of a function of one variable at zero.
fn stencil(f: impl Fn(f64) -> f64, h: f64) -> f64 {
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_kink_is_stepped_around() {
        let x = Array::from_slice(&[1.5e-4f64, -3e-4, 0.7], &[3]);
        assert!(gradient(|x: &Array| x.relu().square().sin() + x.relu(), &x, 2).is_ok());
    }

    #[test]
    fn a_kink_itself_is_reported() {
        let x = Array::from_slice(&[0.0f64], &[1]);
        let bad = gradient(|x: &Array| x.relu(), &x, 1).unwrap_err();
        assert_eq!((bad.order, bad.direction), (1, 0));
    }

    #[test]
    fn a_wrong_second_derivative_is_named() {
        // The value and the first derivative are those of x^3; the second misses a factor.
        let f = |x: &Array| {
            let slope = x.square().stop_gradient() * 3.0;
            &slope * x + (x.powf(3.0) - &slope * x).stop_gradient()
        };
        let bad = gradient(f, &Array::from_slice(&[0.8f64], &[1]), 2).unwrap_err();
        assert_eq!(bad.order, 2);
        assert!(bad.to_string().contains("derivative of order 2"));
    }
}
