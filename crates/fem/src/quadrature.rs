//! Quadrature on reference cells.

use lisse_array::Array;

use crate::{CellKind, FemError};

/// Points and positive weights on a reference cell.
#[derive(Clone, Debug)]
pub struct Quadrature {
    dim: usize,
    points: Vec<f64>,
    weights: Vec<f64>,
}

impl Quadrature {
    /// A rule that is exact for polynomials up to `degree` (in each variable, for quads): the midpoint, Gauss points, and on
    /// simplices the conical product of Gauss-Jacobi rules (Stroud, Approximate calculation of multiple integrals, 1971).
    ///
    /// # Errors
    /// [`FemError::Degree`] above 20.
    pub fn new(kind: CellKind, degree: usize) -> Result<Quadrature, FemError> {
        if degree > 20 {
            return Err(FemError::Degree { degree });
        }
        if degree <= 1 && matches!(kind, CellKind::Triangle | CellKind::Tetrahedron) {
            let dim = kind.dim();
            let (middle, volume) = if dim == 2 { (1.0 / 3.0, 0.5) } else { (0.25, 1.0 / 6.0) };
            return Ok(Quadrature { dim, points: vec![middle; dim], weights: vec![volume] });
        }
        let n = degree / 2 + 1;
        let gauss = gauss_jacobi(n, 0)?;
        match kind {
            CellKind::Segment => Ok(Quadrature { dim: 1, points: gauss.0, weights: gauss.1 }),
            CellKind::Quad => Ok(product(&[&gauss, &gauss], |x| x)),
            CellKind::Triangle => {
                Ok(product(&[&gauss_jacobi(n, 1)?, &gauss], |[x, y, _]| [x, (1.0 - x) * y, 0.0]))
            }
            CellKind::Tetrahedron => {
                let rules = [&gauss_jacobi(n, 2)?, &gauss_jacobi(n, 1)?, &gauss];
                Ok(product(&rules, |[x, y, z]| [x, (1.0 - x) * y, (1.0 - x) * (1.0 - y) * z]))
            }
        }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Never: a rule has at least one point.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Coordinates of a point.
    pub fn point(&self, i: usize) -> &[f64] {
        &self.points[i * self.dim..(i + 1) * self.dim]
    }

    /// Weights; they sum to the volume of the reference cell.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The rule of a point: for the ends of a segment.
    pub(crate) fn point_mass() -> Quadrature {
        Quadrature { dim: 0, points: Vec::new(), weights: vec![1.0] }
    }
}

type Rule = (Vec<f64>, Vec<f64>);

/// All combinations of one-dimensional points, mapped into the cell.
fn product(rules: &[&Rule], map: impl Fn([f64; 3]) -> [f64; 3]) -> Quadrature {
    let dim = rules.len();
    let total: usize = rules.iter().map(|rule| rule.0.len()).product();
    let mut quadrature = Quadrature { dim, points: Vec::new(), weights: Vec::new() };
    for mut index in 0..total {
        let (mut x, mut weight) = ([0.0; 3], 1.0);
        for (axis, (points, weights)) in rules.iter().enumerate() {
            let k = index % points.len();
            index /= points.len();
            x[axis] = points[k];
            weight *= weights[k];
        }
        quadrature.points.extend_from_slice(&map(x)[..dim]);
        quadrature.weights.push(weight);
    }
    quadrature
}

/// Gauss points on `[0, 1]` for the weight `(1 - x)^alpha`, by the eigenvectors of the recurrence (Golub and Welsch, 1969).
fn gauss_jacobi(n: usize, alpha: u32) -> Result<Rule, FemError> {
    let a = f64::from(alpha);
    let mut matrix = vec![0.0; n * n];
    for k in 0..n {
        let twice = 2.0 * k as f64 + a;
        matrix[k * n + k] = if k == 0 { -a / (a + 2.0) } else { -a * a / (twice * (twice + 2.0)) };
        if k > 0 {
            let k2 = (k * k) as f64;
            let square =
                4.0 * k2 * (k as f64 + a).powi(2) / (twice * twice * (twice + 1.0) * (twice - 1.0));
            matrix[k * n + k - 1] = square.sqrt();
            matrix[(k - 1) * n + k] = square.sqrt();
        }
    }
    let (values, vectors) = Array::from_vec(matrix, &[n, n]).eigh()?;
    let first = &vectors.to_vec::<f64>()[..n];
    let points = values.to_vec::<f64>().iter().map(|t| 0.5 * (1.0 + t)).collect();
    let weights = first.iter().map(|v| v * v / (a + 1.0)).collect();
    Ok((points, weights))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factorial(n: usize) -> f64 {
        (1..=n).map(|k| k as f64).product()
    }

    /// Integral of a monomial over the reference cell.
    fn exact(kind: CellKind, powers: [usize; 3]) -> f64 {
        let [a, b, c] = powers;
        match kind {
            CellKind::Segment => 1.0 / (a + 1) as f64,
            CellKind::Quad => 1.0 / ((a + 1) * (b + 1)) as f64,
            CellKind::Triangle => factorial(a) * factorial(b) / factorial(a + b + 2),
            CellKind::Tetrahedron => {
                factorial(a) * factorial(b) * factorial(c) / factorial(a + b + c + 3)
            }
        }
    }

    #[test]
    fn rules_are_exact_to_their_degree() {
        use CellKind::{Quad, Segment, Tetrahedron, Triangle};
        for kind in [Segment, Triangle, Quad, Tetrahedron] {
            for degree in 0..9 {
                let rule = Quadrature::new(kind, degree).unwrap();
                assert!(rule.weights().iter().all(|&w| w > 0.0));
                for a in 0..=degree {
                    for b in 0..=if kind.dim() > 1 { degree - a } else { 0 } {
                        for c in 0..=if kind.dim() > 2 { degree - a - b } else { 0 } {
                            let powers = [a, b, c];
                            let monomial = |x: &[f64]| {
                                x.iter().zip(powers).map(|(x, p)| x.powi(p as i32)).product::<f64>()
                            };
                            let sum: f64 = (0..rule.len())
                                .map(|i| rule.weights()[i] * monomial(rule.point(i)))
                                .sum();
                            let error = (sum - exact(kind, powers)).abs();
                            assert!(
                                error < 1e-14,
                                "{kind:?}, degree {degree}, {powers:?}: {error}"
                            );
                        }
                    }
                }
            }
        }
        assert_eq!(
            Quadrature::new(Triangle, 21).unwrap_err().to_string(),
            "quadrature: degree 21 is out of range; degrees are 0 to 20"
        );
    }
}
