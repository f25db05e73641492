//! Soft spheres: exact sensitivities, forces, and the minimiser.

use lisse_array::{check, hessian, jvp};

use super::super::spheres::{Fire, Packing};
use super::*;

const LARGE: f64 = 0.824_561_4;
const SMALL: f64 = 0.687_719_3;

/// Two particles of diameter one and one of diameter `theta` on a ring.
fn ring() -> Packing {
    Packing { side: 2.2, dim: 1 }
}

fn diameters(theta: &Array) -> Array {
    let one = Array::ones(&[1], theta.dtype());
    Array::cat(&[&one, &one, &theta.reshape(&[1])], 0)
}

fn energy() -> Condition<Array, Array> {
    Condition::stationary(|x: &Array, theta: &Array| {
        ring().energy(&x.reshape(&[3, 1]), &diameters(theta))
    })
    .positive_definite()
}

fn minimum() -> Array {
    // F = (sum s - L) / sum s^2, d = s - F s^2
    let s = [1.0f64, 0.8, 0.8];
    let force = (s.iter().sum::<f64>() - 2.2) / s.iter().map(|s| s * s).sum::<f64>();
    assert!((force - 0.175_438_60).abs() < 5e-9);
    let d: Vec<f64> = s.iter().map(|s| s - force * s * s).collect();
    close(&d, &[LARGE, SMALL, SMALL], 5e-8);
    vector(&[0.0, d[0], d[0] + d[1]])
}

#[test]
fn three_particles_on_a_ring() {
    let (x, theta, one) = (minimum(), Array::scalar(0.6f64), Array::scalar(1.0f64));
    let condition = energy();
    assert!(condition.residual(&x, &theta).abs().max_all().item() < 1e-14);
    let h = hessian(|x: &Array| ring().energy(&x.reshape(&[3, 1]), &diameters(&theta)), &x);
    let (values, _) = h.eigh().unwrap();
    close(&values.to_vec::<f64>(), &[0.0, 3.5625, 4.6875], 1e-10);
    let least = [0.157_740_84, -0.157_740_84, 0.0];
    for method in [Method::Cg, Method::Lsqr, Method::Minres, Method::BiCgStab, Method::gmres()] {
        let (dx, report) =
            root_jvp(&condition, &Implicit::method(method), &x, &theta, &one).unwrap();
        close(&dx.to_vec::<f64>(), &least, 5e-9);
        assert!(report.linear.residual < 1e-9);
    }
    // The matrix has a null space: elimination must not be trusted with it.
    let error = root_jvp(&condition, &Implicit::method(Method::Lu), &x, &theta, &one).unwrap_err();
    assert!(error.to_string().contains("singular"), "{error}");
    // Pinning the first particle makes it regular; the distances change alike.
    let pinned = Condition::stationary(|x: &Array, theta: &Array| {
        let all = Array::cat(&[&Array::zeros(&[1], x.dtype()), x], 0);
        ring().energy(&all.reshape(&[3, 1]), &diameters(theta))
    });
    let (dx, _) =
        root_jvp(&pinned, &Implicit::method(Method::Lu), &x.narrow(0, 1, 2), &theta, &one).unwrap();
    close(&dx.to_vec::<f64>(), &[-0.315_481_69, -0.157_740_84], 5e-9);
    let dx = dx.to_vec::<f64>();
    close(&[dx[0], dx[1] - dx[0], -dx[1]], &[-0.315_481_69, 0.157_740_84, 0.157_740_84], 5e-9);
}

fn cluster() -> (Packing, Vec<f64>, Vec<f64>) {
    let x = vec![0.1, 0.2, 0.9, 0.3, 1.7, 0.25, 0.45, 1.0, 1.3, 1.1, 2.0, 1.05];
    (Packing { side: 2.2, dim: 2 }, x, vec![1.0, 0.9, 1.0, 0.8, 1.1, 0.95])
}

#[test]
fn forces_and_their_tangents_are_derivatives_of_the_energy() {
    let (packing, x, d) = cluster();
    let (dx, dd): (Vec<f64>, Vec<f64>) = (
        (0..12).map(|i| (f64::from(i)).sin()).collect(),
        (0..6).map(|i| f64::from(i).cos()).collect(),
    );
    let gradient = |x: &Array, d: &Array| {
        lisse_array::grad(|x: &Array| packing.energy(&x.reshape(&[6, 2]), d))(x)
    };
    let at = (vector(&x), vector(&d));
    let (value, tangent) =
        jvp(|(x, d): &(Array, Array)| gradient(x, d).neg(), &at, &(vector(&dx), vector(&dd)));
    let (mut force, mut change) = (vec![0.0; 12], vec![0.0; 12]);
    let energy = packing.force(&x, &d, &mut force);
    packing.force_tangent((&x, &dx), (&d, &dd), &mut change);
    assert!((energy - packing.energy(&at.0.reshape(&[6, 2]), &at.1).item()).abs() < 1e-14);
    close(&force, &value.to_vec::<f64>(), 1e-13);
    close(&change, &tangent.to_vec::<f64>(), 1e-12);
    assert!(energy > 0.05);
    check::gradient(|(x, d): &(Array, Array)| packing.energy(&x.reshape(&[6, 2]), d), &at, 2)
        .unwrap();
}

#[test]
fn fire_finds_a_minimum_and_carries_its_tangent() {
    let (packing, x, d) = cluster();
    let dd = [0.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let fire = Fire::default();
    let end = fire.minimize(&packing, &x, &d, Some(&dd));
    assert!(end.largest_force() <= 1e-12 && end.iterations < 20_000, "{}", end.iterations);
    // A fixed number of steps is a smooth function here: its tangent against finite differences.
    let few = Fire { max_iterations: 20, tolerance: 0.0, ..fire };
    let moved = |h: f64| {
        let d: Vec<f64> = d.iter().zip(&dd).map(|(d, v)| d + h * v).collect();
        few.minimize(&packing, &x, &d, None).x
    };
    let (up, down) = (moved(1e-6), moved(-1e-6));
    let difference: Vec<f64> = up.iter().zip(&down).map(|(u, d)| (u - d) / 2e-6).collect();
    close(&few.minimize(&packing, &x, &d, Some(&dd)).dx, &difference, 1e-6);
}
