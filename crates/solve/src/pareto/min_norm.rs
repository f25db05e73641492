//! The shortest vector of a convex hull.

use super::dense::{dot, solve};

/// Weights of the shortest vector `sum w_i p_i` of the convex hull of points with Gram matrix `gram[i m + j] = <p_i, p_j>`: at most
/// `m` of them positive, sum one. Wolfe's method (Finding the nearest point in a polytope, 1976), which keeps only points that
/// are affinely independent, so that duplicates do no harm.
#[track_caller]
pub fn min_norm_weights(gram: &[f64], m: usize) -> Vec<f64> {
    assert!(
        m > 0 && gram.len() == m * m,
        "min_norm_weights: a Gram matrix of {} entries for {m} points",
        gram.len()
    );
    let at = |i: usize, j: usize| gram[i * m + j];
    let shortest = (0..m).min_by(|&i, &j| at(i, i).total_cmp(&at(j, j))).expect("m is positive");
    let scale = (0..m).map(|i| at(i, i)).fold(0.0, f64::max);
    let mut kept = vec![shortest];
    let mut weights = vec![1.0];
    for _ in 0..10 * (m + 10) {
        // <x, p_j> for the current x.
        let along = |j: usize| kept.iter().zip(&weights).map(|(&i, w)| w * at(i, j)).sum::<f64>();
        let square: f64 = kept.iter().zip(&weights).map(|(&i, w)| w * along(i)).sum();
        let (entering, least) = (0..m)
            .map(|j| (j, along(j)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("m is positive");
        if least >= square - 1e-14 * scale || kept.contains(&entering) {
            break;
        }
        kept.push(entering);
        weights.push(0.0);
        if !minor_cycle(&at, &mut kept, &mut weights) {
            // Rounding made the points dependent: the last one does not help.
            break;
        }
    }
    let mut all = vec![0.0; m];
    kept.iter().zip(&weights).for_each(|(&i, &w)| all[i] = w);
    all
}

/// Moves to the shortest vector of the affine hull, dropping points whose weight would turn negative on the way.
fn minor_cycle(
    at: &impl Fn(usize, usize) -> f64,
    kept: &mut Vec<usize>,
    weights: &mut Vec<f64>,
) -> bool {
    while let Some(target) = affine_minimum(at, kept) {
        let blocking = weights
            .iter()
            .zip(&target)
            .enumerate()
            .filter(|&(_, (_, &t))| t <= 0.0)
            .map(|(i, (&w, &t))| (i, if w - t > 0.0 { w / (w - t) } else { 0.0 }))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((leaving, share)) = blocking else {
            *weights = target;
            return true;
        };
        weights.iter_mut().zip(&target).for_each(|(w, t)| *w += share * (t - *w));
        kept.remove(leaving);
        weights.remove(leaving);
        let sum: f64 = weights.iter().sum();
        for w in weights.iter_mut() {
            *w /= sum;
        }
    }
    // Take the newest point back.
    kept.pop();
    weights.pop();
    let sum: f64 = weights.iter().sum();
    for w in weights.iter_mut() {
        *w /= sum;
    }
    false
}

/// Weights of sum one, of either sign: `(1 1^T + G) v = 1`, normalised.
fn affine_minimum(at: &impl Fn(usize, usize) -> f64, kept: &[usize]) -> Option<Vec<f64>> {
    let scale = kept.iter().map(|&i| at(i, i)).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let matrix = kept.iter().flat_map(|&i| kept.iter().map(move |&j| 1.0 + at(i, j) / scale));
    let v = solve(matrix.collect(), vec![1.0; kept.len()])?;
    let sum: f64 = v.iter().sum();
    Some(v.into_iter().map(|v| v / sum).collect())
}

/// The shortest vector of the convex hull of `points`, and its weights.
///
/// ```
/// use lisse_solve::pareto::min_norm;
/// let (v, w) = min_norm(&[vec![2.0, 0.0], vec![0.0, 1.0]]);
/// assert!((v[0] - 0.4).abs() < 1e-12 && (v[1] - 0.8).abs() < 1e-12);
/// assert!((w[0] - 0.2).abs() < 1e-12);
/// ```
#[track_caller]
pub fn min_norm(points: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let m = points.len();
    let gram: Vec<f64> =
        points.iter().flat_map(|a| points.iter().map(move |b| dot(a, b))).collect();
    let weights = min_norm_weights(&gram, m);
    (combine(points, &weights), weights)
}

/// `sum w_i p_i`
pub(super) fn combine(points: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; points[0].len()];
    for (point, w) in points.iter().zip(weights) {
        if *w != 0.0 {
            sum.iter_mut().zip(point).for_each(|(s, p)| *s += w * p);
        }
    }
    sum
}
