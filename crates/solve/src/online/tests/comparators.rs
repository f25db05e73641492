//! Minima with certificates.

use super::super::{Domain, Objective, best_fixed};
use super::near;

/// `sum_i |x_i - c_i|`, or its square half.
struct Distance {
    centre: Vec<f64>,
    kinked: bool,
}

impl Objective for Distance {
    fn dim(&self) -> usize {
        self.centre.len()
    }
    fn value(&self, x: &[f64]) -> f64 {
        let term = |(x, c): (&f64, &f64)| {
            if self.kinked { (x - c).abs() } else { 0.5 * (x - c) * (x - c) }
        };
        x.iter().zip(&self.centre).map(term).sum()
    }
    fn derivatives(&self, x: &[f64], width: f64, gradient: &mut [f64], hessian: &mut [f64]) -> f64 {
        let d = x.len();
        hessian.fill(0.0);
        let mut value = 0.0;
        for i in 0..d {
            let r = x[i] - self.centre[i];
            let root = r.hypot(width);
            let (v, g, h) = if self.kinked {
                (root - width, r / root, width * width / root.powi(3))
            } else {
                (0.5 * r * r, r, 1.0)
            };
            value += v;
            gradient[i] = g;
            hessian[i * d + i] = h;
        }
        value
    }
    fn slack(&self, width: f64) -> f64 {
        if self.kinked { width * self.centre.len() as f64 } else { 0.0 }
    }
}

#[test]
fn a_quadratic_on_a_ball() {
    let objective = Distance { centre: vec![3.0, 4.0], kinked: false };
    let best = best_fixed(&objective, &Domain::Ball { radius: 1.0 }, 1e-12).unwrap();
    near(best.point[0], 0.6);
    near(best.point[1], 0.8);
    near(best.value, 8.0);
    assert!(best.gap < 2e-11, "{}", best.gap);
}

/// The value is within the certified gap of the true minimum, and that gap is small.
#[test]
fn kinks_are_certified() {
    for centre in [vec![0.2, -0.1, 0.05], vec![2.0, 0.1, 0.1], vec![0.0, 0.0, 0.0]] {
        let objective = Distance { centre: centre.clone(), kinked: true };
        let best = best_fixed(&objective, &Domain::Box { low: -0.5, high: 0.5 }, 1e-9).unwrap();
        let minimum: f64 = centre.iter().map(|c| (c.abs() - 0.5).max(0.0)).sum();
        assert!(best.value >= minimum - 1e-12 && best.value - minimum <= best.gap + 1e-12);
        assert!(best.gap < 1e-5, "{}", best.gap);
    }
}

#[test]
fn a_minimum_inside_every_set() {
    for domain in [
        Domain::Ball { radius: 1.0 },
        Domain::L1Ball { radius: 1.0 },
        Domain::Box { low: -1.0, high: 1.0 },
    ] {
        let objective = Distance { centre: vec![0.3, -0.2], kinked: false };
        let best = best_fixed(&objective, &domain, 1e-12).unwrap();
        assert!((best.point[0] - 0.3).abs() + (best.point[1] + 0.2).abs() < 1e-11);
    }
}
