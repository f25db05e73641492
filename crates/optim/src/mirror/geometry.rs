//! Which mirror map, regularizer and domain go together, and the step they give.

use serde::{Deserialize, Serialize};

use super::maps::{power_radius, softmax};
use super::prox::{positive, soft, soft_one, square};
use super::{Domain, Mirror, MirrorError, Regularizer};

/// A mirror map, a regularizer and a domain with an exact step
/// `x+ = argmin_{x in X} h(x) + <g, x - x_t> + D(x, x_t) / eta`.
///
/// ```
/// use lisse_optim::mirror::{Domain, Geometry, Mirror, Regularizer};
/// let lasso = Geometry::new(Mirror::Euclidean, Regularizer::L1 { weight: 0.4 }, Domain::Whole)?;
/// let mut x = lasso.point(&[1.0, -0.3, 0.05]);
/// lasso.step(&mut x, &[0.5, -1.0, 0.2], 0.2);
/// assert!((x.x[0] - 0.82).abs() < 1e-15 && x.x[2] == 0.0);
/// // The entropy map only lives on the simplex:
/// let refused = Geometry::new(Mirror::Entropy, Regularizer::None, Domain::Whole).unwrap_err();
/// assert!(refused.to_string().contains("simplex"));
/// # Ok::<(), lisse_optim::mirror::MirrorError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geometry {
    mirror: Mirror,
    regularizer: Regularizer,
    domain: Domain,
}

/// An iterate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The coordinates.
    pub x: Vec<f64>,
    /// Their logarithms up to a common shift, kept by the entropy map so that weights which underflow can come back.
    log_x: Vec<f64>,
}

impl Geometry {
    /// Checks the parts and that they have an exact step together.
    ///
    /// # Errors
    /// [`MirrorError::OutOfRange`]; [`MirrorError::NoExactStep`], which says what is possible.
    pub fn new(
        mirror: Mirror,
        regularizer: Regularizer,
        domain: Domain,
    ) -> Result<Geometry, MirrorError> {
        mirror.validate(None)?;
        regularizer.validate(None)?;
        domain.validate()?;
        let geometry = Geometry { mirror, regularizer, domain };
        if geometry.is_exact() { Ok(geometry) } else { Err(geometry.refusal()) }
    }

    /// The mirror map.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }
    /// The regularizer.
    pub fn regularizer(&self) -> &Regularizer {
        &self.regularizer
    }
    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether the step has a closed form (or, for the power map with a squared norm, one root of a scalar equation).
    ///
    /// Euclidean: separable `h` with a box (each coordinate is a convex problem of its own, so it is clipped after its proximal step);
    /// homogeneous `h`, and squared norms, with a ball (Yu, "On decomposing the proximal map", NIPS 2013); on the simplex the l1 norm is
    /// constant. Power: radial, so homogeneous `h` act on the direction, squared norm and ball on the length. p-norm: `grad psi` has the
    /// signs of `x`, so the l1 norm is soft thresholding in the dual.
    fn is_exact(&self) -> bool {
        use Regularizer::{ElasticNet, GroupLasso, L1, NegativeEntropy, None, Nuclear, SquaredL2};
        let (h, domain) = (&self.regularizer, &self.domain);
        let separable = matches!(h, None | L1 { .. } | SquaredL2 { .. } | ElasticNet { .. });
        let blocks = matches!(h, GroupLasso { .. } | Nuclear { .. });
        match (&self.mirror, domain) {
            (Mirror::Euclidean | Mirror::Power { .. }, Domain::Whole | Domain::Ball { .. }) => {
                separable || blocks
            }
            (Mirror::Euclidean, Domain::Box { .. } | Domain::Simplex)
            | (Mirror::Diagonal { .. }, Domain::Whole | Domain::Box { .. }) => separable,
            (Mirror::PNorm { .. }, Domain::Whole) => matches!(h, None | L1 { .. }),
            (Mirror::Entropy, Domain::Simplex) => {
                matches!(h, None | L1 { .. } | NegativeEntropy { .. })
            }
            _ => false,
        }
    }

    fn refusal(&self) -> MirrorError {
        let possible = match self.mirror {
            Mirror::Euclidean => {
                "none, l1, squared-l2 and elastic-net on any domain; group-lasso and nuclear on the whole space or a ball"
            }
            Mirror::Power { .. } => {
                "none, l1, squared-l2, elastic-net, group-lasso and nuclear on the whole space or a ball"
            }
            Mirror::Diagonal { .. } => {
                "none, l1, squared-l2 and elastic-net on the whole space or a box"
            }
            Mirror::PNorm { .. } => "none and l1 on the whole space",
            Mirror::Entropy => "none, l1 and negative-entropy on the simplex",
        };
        MirrorError::NoExactStep {
            mirror: self.mirror.name(),
            regularizer: self.regularizer.name(),
            domain: self.domain.name(),
            possible,
        }
    }

    /// Checks the lengths of what has one.
    ///
    /// # Errors
    /// A part that was made for another dimension.
    pub fn check_dimension(&self, dimension: usize) -> Result<(), MirrorError> {
        self.mirror.validate(Some(dimension))?;
        self.regularizer.validate(Some(dimension))
    }

    /// An iterate at `x`.
    pub fn point(&self, x: &[f64]) -> Point {
        let log_x = match self.mirror {
            Mirror::Entropy => x.iter().map(|v| v.ln()).collect(),
            _ => Vec::new(),
        };
        Point { x: x.to_vec(), log_x }
    }

    /// One step from `point` with gradient `g` and step size `eta`. `g` must have the length of the point.
    pub fn step(&self, point: &mut Point, g: &[f64], eta: f64) {
        match &self.mirror {
            // The power map at 2 is Euclidean; this way to the last bit.
            Mirror::Euclidean | Mirror::Power { p: 2.0 } => {
                for (x, g) in point.x.iter_mut().zip(g) {
                    *x -= eta * g;
                }
                match (&self.regularizer, &self.domain) {
                    // Constant on the simplex.
                    (Regularizer::L1 { .. }, Domain::Simplex) => {}
                    (Regularizer::ElasticNet { l2, .. }, Domain::Simplex) => {
                        Regularizer::SquaredL2 { weight: *l2 }.prox(&mut point.x, eta);
                    }
                    (h, _) => h.prox(&mut point.x, eta),
                }
                self.domain.project(&mut point.x);
            }
            Mirror::Entropy => self.entropy_step(point, g, eta),
            Mirror::PNorm { .. } => {
                let mut dual = self.mirror.gradient(&point.x);
                descend(&mut dual, g, eta);
                soft(&mut dual, eta * self.l1_and_l2().0);
                point.x = self.mirror.gradient_inverse(&dual);
            }
            Mirror::Diagonal { b } => self.diagonal_step(&mut point.x, b, g, eta),
            Mirror::Power { p } => self.power_step(&mut point.x, *p, g, eta),
        }
    }

    fn l1_and_l2(&self) -> (f64, f64) {
        match self.regularizer {
            Regularizer::L1 { weight } => (weight, 0.0),
            Regularizer::SquaredL2 { weight } => (0.0, weight),
            Regularizer::ElasticNet { l1, l2 } => (l1, l2),
            _ => (0.0, 0.0),
        }
    }

    /// `x+ ~ (x exp(-eta g))^{1 / (1 + eta lambda)}`, in logarithms.
    fn entropy_step(&self, point: &mut Point, g: &[f64], eta: f64) {
        let exponent = match self.regularizer {
            Regularizer::NegativeEntropy { weight } => 1.0 / (1.0 + eta * weight),
            _ => 1.0,
        };
        let log_x = &mut point.log_x;
        for (l, g) in log_x.iter_mut().zip(g) {
            *l = (*l - eta * g) * exponent;
        }
        let top = log_x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for l in log_x.iter_mut() {
            *l -= top;
        }
        point.x = softmax(log_x);
    }

    fn diagonal_step(&self, x: &mut [f64], b: &[f64], g: &[f64], eta: f64) {
        let (l1, l2) = self.l1_and_l2();
        for ((x, g), b) in x.iter_mut().zip(g).zip(b) {
            let rate = eta / b;
            *x = soft_one(*x - rate * g, rate * l1) / (1.0 + rate * l2);
        }
        self.domain.project(x);
    }

    fn power_step(&self, x: &mut [f64], p: f64, g: &[f64], eta: f64) {
        let mut dual = Mirror::Power { p }.gradient(x);
        descend(&mut dual, g, eta);
        let (l1, l2) = self.l1_and_l2();
        match self.regularizer {
            Regularizer::GroupLasso { .. } | Regularizer::Nuclear { .. } => {
                self.regularizer.prox(&mut dual, eta);
            }
            _ => soft(&mut dual, eta * l1),
        }
        let length = square(&dual).sqrt();
        let mut radius = power_radius(p, length, eta * l2);
        if let Domain::Ball { radius: bound } = self.domain {
            radius = radius.min(bound);
        }
        for (x, z) in x.iter_mut().zip(&dual) {
            *x = if length == 0.0 { 0.0 } else { z / length * radius };
        }
    }

    /// Checks that a run can begin at `x`.
    pub(super) fn check_start(&self, x: &[f64]) -> Result<(), MirrorError> {
        self.check_dimension(x.len())?;
        let fail = |expected| Err(MirrorError::OutOfRange { key: "start".into(), expected });
        if !x.iter().all(|v| v.is_finite()) {
            return fail("finite numbers");
        }
        if !self.domain.contains(x) {
            return fail("a point of the domain");
        }
        if self.mirror == Mirror::Entropy && !x.iter().all(|v| positive(*v)) {
            return fail("weights above 0: the entropy map never brings back one that is 0");
        }
        Ok(())
    }
}

fn descend(dual: &mut [f64], g: &[f64], eta: f64) {
    for (z, g) in dual.iter_mut().zip(g) {
        *z -= eta * g;
    }
}
