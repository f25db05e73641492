use std::f64::consts::PI;

use lisse_array::{Array, check};

use super::*;
use crate::{Dirichlet, Mesh};

fn mesh(kind: CellKind, n: usize) -> Mesh {
    let unit = [0.0, 1.0];
    match kind {
        CellKind::Segment => Mesh::interval(n, unit),
        CellKind::Tetrahedron => Mesh::cuboid([n; 3], [unit; 3]),
        _ => Mesh::rectangle([n; 2], [unit; 2], kind),
    }
    .unwrap()
}

fn wave(x: &[f64]) -> f64 {
    x.iter().map(|x| (PI * x).sin()).product()
}

fn slope(x: &[f64]) -> Vec<f64> {
    let along = |axis: usize| {
        let factor =
            |(k, x): (usize, &f64)| if k == axis { PI * (PI * x).cos() } else { (PI * x).sin() };
        x.iter().enumerate().map(factor).product()
    };
    (0..x.len()).map(along).collect()
}

/// Errors in value and gradient of `-Lap u = f`, `u = 0` on the boundary.
fn poisson(kind: CellKind, order: usize, n: usize) -> (f64, f64) {
    let space = Space::new(mesh(kind, n), order).unwrap();
    let dx = Measure::cells(&space, 2 * order).unwrap();
    let boundary = Dirichlet::new(&space, |_| true);
    let dim = kind.dim() as f64;
    let load = dx.load(&dx.coefficient(|x| dim * PI * PI * wave(x)));
    let (a, b) = boundary.impose(&dx.diffusion().unit(), &load, &boundary.zeros());
    let u = a.solve(&b).unwrap();
    let fine = Measure::cells(&space, 8).unwrap();
    (fine.l2_error(&u, wave), fine.gradient_error(&u, slope))
}

#[test]
fn errors_fall_at_the_order_of_the_space() {
    use CellKind::{Quad, Segment, Tetrahedron, Triangle};
    for (kind, n) in [(Segment, 16), (Triangle, 12), (Quad, 12), (Tetrahedron, 6)] {
        for order in [1, 2] {
            let (coarse, fine) = (poisson(kind, order, n), poisson(kind, order, 2 * n));
            let value = (coarse.0 / fine.0).log2();
            let gradient = (coarse.1 / fine.1).log2();
            let order = order as f64;
            // Tetrahedra of second order are still short of their limit at this size.
            let slack = if kind == Tetrahedron { 0.35 } else { 0.12 };
            assert!((value - order - 1.0).abs() < slack, "{kind:?} {order}: {value}");
            assert!((gradient - order).abs() < slack, "{kind:?} {order}: {gradient}");
        }
    }
}

/// Affine functions are reproduced, with prescribed values on one part and a prescribed flux on the rest.
#[test]
fn the_patch_test_with_both_kinds_of_condition() {
    use CellKind::{Quad, Segment, Tetrahedron, Triangle};
    for kind in [Segment, Triangle, Quad, Tetrahedron] {
        for order in [1, 2] {
            let space = Space::new(mesh(kind, 2), order).unwrap();
            let affine =
                |x: &[f64]| 1.0 + x.iter().zip([2.0, -3.0, 0.5]).map(|(x, c)| x * c).sum::<f64>();
            let dx = Measure::cells(&space, 2).unwrap();
            let ds = Measure::boundary(&space, 2, |x| x[0] > 1e-12).unwrap();
            let flux: Vec<f64> = (0..ds.len())
                .map(|q| {
                    ds.normal(q).unwrap().iter().zip([2.0, -3.0, 0.5]).map(|(n, c)| n * c).sum()
                })
                .collect();
            let load = ds.load(&Array::from_vec(flux, &[ds.len()]));
            let left = Dirichlet::new(&space, |x| x[0] == 0.0);
            let exact = space.interpolate(affine);
            let (a, b) = left.impose(&dx.diffusion().unit(), &load, &exact);
            let error = (a.solve(&b).unwrap() - exact).abs().max_all().item();
            assert!(error < 1e-12, "{kind:?} {order}: {error}");
        }
    }
}

#[test]
fn integrals_areas_and_normals() {
    for kind in [CellKind::Triangle, CellKind::Quad, CellKind::Tetrahedron] {
        let space = Space::new(mesh(kind, 3), 1).unwrap();
        let dim = kind.dim();
        let dx = Measure::cells(&space, 4).unwrap();
        let volume = dx.integral(&dx.constant(1.0)).item();
        assert!((volume - 1.0).abs() < 1e-14);
        assert!((dx.lumped_mass().sum_all().item() - 1.0).abs() < 1e-13);
        let ds = Measure::boundary(&space, 3, |_| true).unwrap();
        assert!((ds.integral(&ds.constant(1.0)).item() - 2.0 * dim as f64).abs() < 1e-13);
        // Gauss: the integral of x . n is dim times the volume.
        let out: Vec<f64> = (0..ds.len())
            .map(|q| ds.point(q).iter().zip(ds.normal(q).unwrap()).map(|(x, n)| x * n).sum())
            .collect();
        let out = ds.integral(&Array::from_vec(out, &[ds.len()])).item();
        assert!((out - dim as f64).abs() < 1e-12, "{kind:?} {out}");
        assert!(dx.normal(0).is_none());
    }
    let space = Space::new(mesh(CellKind::Triangle, 2), 1).unwrap();
    let none = Measure::boundary(&space, 1, |_| false).unwrap_err();
    assert!(none.to_string().starts_with("measure: no facet of the boundary was chosen"));
}

#[test]
fn mass_advection_and_flux_agree_with_integrals() {
    let space = Space::new(mesh(CellKind::Triangle, 3), 2).unwrap();
    let dx = Measure::cells(&space, 6).unwrap();
    let u = space.interpolate(|x| x[0] * x[1]);
    let v = space.interpolate(|x| x[0] - x[1] * x[1]);
    let c = dx.coefficient(|x| 1.0 + x[0]);
    let form = |matrix: Csr| (&v * matrix.matmul(&u)).sum_all().item();
    let direct = |f: &dyn Fn(&[f64]) -> f64| dx.integral(&dx.coefficient(f)).item();
    let mass = form(dx.mass().matrix(&c));
    let by_points = direct(&|x| (1.0 + x[0]) * x[0] * x[1] * (x[0] - x[1] * x[1]));
    assert!((mass - by_points).abs() < 1e-14);
    let advection = form(dx.advection(1).matrix(&c));
    let by_points = direct(&|x| (1.0 + x[0]) * x[0] * (x[0] - x[1] * x[1]));
    assert!((advection - by_points).abs() < 1e-14);
    let flux = dx.flux_load(&[dx.at(&u), dx.constant(2.0)]);
    let by_points = direct(&|x| x[0] * x[1] - 4.0 * x[1]);
    assert!(((&v * flux).sum_all().item() - by_points).abs() < 1e-13);
}

#[test]
fn elasticity_has_rigid_motions_and_the_right_energy() {
    for kind in [CellKind::Quad, CellKind::Tetrahedron] {
        let dim = kind.dim();
        let space = Space::new(mesh(kind, 2), 1).unwrap();
        let dx = Measure::cells(&space, 2).unwrap();
        let [shear, volume] = dx.elasticity();
        let (mu, lambda) = (dx.constant(3.0), dx.constant(4.0));
        let a = shear.matrix(&mu).add_scaled(1.0, &volume.matrix(&lambda));
        let field = |f: &dyn Fn(&[f64]) -> Vec<f64>| {
            let values: Vec<f64> = (0..space.len()).flat_map(|i| f(space.node(i))).collect();
            Array::from_vec(values, &[space.len() * dim])
        };
        let turn = field(&|x| {
            let mut u = vec![1.0; dim];
            (u[0], u[1]) = (-x[1], x[0]);
            u
        });
        assert!(a.matmul(&turn).abs().max_all().item() < 1e-12, "{kind:?}");
        // u = x: strain is the identity, energy 2 mu dim + lambda dim^2.
        let stretch = field(&|x| x.to_vec());
        let energy = (&stretch * a.matmul(&stretch)).sum_all().item();
        let d = dim as f64;
        assert!((energy - 6.0 * d - 4.0 * d * d).abs() < 1e-11, "{kind:?} {energy}");
    }
}

#[test]
fn the_divergence_of_a_linear_field() {
    let mesh = std::sync::Arc::new(mesh(CellKind::Triangle, 2));
    let velocity = Space::new(mesh.clone(), 2).unwrap();
    let pressure = Space::new(mesh, 1).unwrap();
    let (dv, dp) = (Measure::cells(&velocity, 4).unwrap(), Measure::cells(&pressure, 4).unwrap());
    let b = dv.divergence(&dp, 0).unit();
    assert_eq!(b.shape(), [9, 25]);
    let u = velocity.interpolate(|x| 3.0 * x[0] + x[1]);
    let error = b.matmul(&u) - dp.load(&dp.constant(3.0));
    assert!(error.abs().max_all().item() < 1e-14);
}

/// The adjoint method to second order: derivatives through assembly, conditions and solve.
#[test]
fn derivatives_pass_through_assembly_and_solve() {
    let space = Space::new(mesh(CellKind::Triangle, 3), 1).unwrap();
    let dx = Measure::cells(&space, 2).unwrap();
    let boundary = Dirichlet::new(&space, |x| x[0] == 0.0);
    let (diffusion, mass) = (dx.diffusion(), dx.mass());
    let target = space.interpolate(|x| x[0] * (1.0 + x[1]));
    let misfit = |parts: &(Array, Array, Array)| {
        let (log_c, source, values) = parts;
        let a = diffusion.matrix(&log_c.exp()).add_scaled(1.0, &mass.matrix(&log_c.square()));
        let (a, b) = boundary.impose(&a, &dx.load(source), values);
        let u = a.solve(&b).unwrap();
        dx.integral(&dx.at(&(u - &target)).square())
    };
    let at = (
        dx.coefficient(|x| 0.3 * x[0] - 0.2 * x[1]),
        dx.coefficient(|x| 1.0 + x[1]),
        space.interpolate(|x| 0.1 * x[1]),
    );
    let worst = check::gradient(misfit, &at, 2).unwrap();
    assert!(worst < 1e-6, "{worst}");
}

#[test]
fn one_cell_works_and_says_so() {
    let one = Mesh::new(CellKind::Triangle, vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0], vec![0, 1, 2]);
    let space = Space::new(one.unwrap(), 1).unwrap();
    let dx = Measure::cells(&space, 2).unwrap();
    let all = Dirichlet::new(&space, |_| true);
    assert!(all.free().is_empty());
    let values = space.interpolate(|x| x[0] + 2.0);
    let (a, b) = all.impose(&dx.diffusion().unit(), &dx.load(&dx.constant(1.0)), &values);
    assert_eq!(a.solve(&b).unwrap().to_vec::<f64>(), [2.0, 3.0, 2.0]);
    // With one condition there are two free nodes.
    let corner = Dirichlet::of(3, &[0]);
    assert_eq!(corner.restrict(&dx.diffusion().unit()).shape(), [2, 2]);
    assert_eq!(corner.extend(&[1.0, 2.0]).to_vec::<f64>(), [0.0, 1.0, 2.0]);
}

#[test]
fn assembly_does_not_depend_on_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let space = Space::new(mesh(CellKind::Triangle, 40), 2).unwrap();
            let dx = Measure::cells(&space, 4).unwrap();
            let c = dx.coefficient(|x| (7.0 * x[0] * x[1]).exp());
            dx.diffusion().matrix(&c).values().to_vec::<f64>()
        })
    };
    assert_eq!(run(1), run(2));
}
