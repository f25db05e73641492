//! Times the front of a non-smooth elliptic control problem (63 x 63 inner nodes, 25 reference points) with all nodes and with a reduced basis whose
//! error bound is 1e-3 of the energy norm: `solve_pde front_full REPETITIONS`, `solve_pde front_reduced REPETITIONS`; the state equation
//! with 255 x 255 inner nodes: `solve_pde state_255 REPETITIONS`, of which `benches/solve/pde.py` is the same in scipy.

use lisse::solve::pareto::spacing_ratio;
use lisse::solve::pde::{
    AdaptiveReduced, Goal, MaxElliptic, PdeError, ReferencePoint, Tracking, WeightedProblem,
    weighted_front,
};
use lisse_benches::median;

const POINTS: usize = 25;

fn problem(n: usize) -> Result<Tracking, PdeError> {
    let equation = MaxElliptic::unit_square(n, 10.0)?;
    let pi = std::f64::consts::PI;
    let wave = equation.sample(|x| (2.0 * pi * x[0]).sin() * (pi * x[1]).sin());
    let goals = vec![
        Goal { target: Some(wave), control_cost: 0.0 },
        Goal { target: None, control_cost: 1e-3 },
    ];
    Tracking::new(equation, goals)
}

/// The front from the end with little control cost to the other, evenly spaced; the ratio of its largest and smallest gap.
fn front(model: &mut dyn WeightedProblem) -> Result<f64, PdeError> {
    let weights: Vec<Vec<f64>> = (0..POINTS)
        .map(|k| 0.02 + 0.96 * k as f64 / (POINTS - 1) as f64)
        .map(|a| vec![1.0 - a, a])
        .collect();
    let ends = weighted_front(model, &weights)?;
    let gap = |a: &[f64], b: &[f64]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let arc: f64 = ends.windows(2).map(|p| gap(&p[0].values, &p[1].values)).sum();
    let method = ReferencePoint::new(arc / (POINTS - 1) as f64);
    let last = ends[POINTS - 1].values[1];
    let mut points = vec![ends[0].clone()];
    while let Some((next, _)) = method.next(model, &points[points.len() - 1])? {
        if next.values[1] < last || points.len() > 2 * POINTS {
            break;
        }
        points.push(next);
    }
    let values: Vec<&Vec<f64>> = points.iter().map(|p| &p.values).collect();
    Ok(spacing_ratio(&values))
}

fn time(case: &str, repetitions: usize) -> Option<f64> {
    match case {
        "front_full" => {
            let problem = problem(63).ok()?;
            front(&mut &problem).ok().filter(|ratio| *ratio < 1.3)?;
            Some(median(repetitions, || {
                let _ = front(&mut &problem);
            }))
        }
        "front_reduced" => {
            let problem = problem(63).ok()?;
            // From an empty basis: the full solves that fill it count.
            let traced = || {
                let mut model = AdaptiveReduced::new(&problem, 1e-3).ok()?;
                front(&mut model).ok()
            };
            traced().filter(|ratio| *ratio < 1.3)?;
            Some(median(repetitions, || {
                traced();
            }))
        }
        "state_255" => {
            let equation = MaxElliptic::unit_square(255, 10.0).ok()?;
            let pi = std::f64::consts::PI;
            let f = equation.sample(|x| {
                let y = (2.0 * pi * x[0]).sin() * (pi * x[1]).sin();
                5.0 * pi * pi * y + 10.0 * y.max(0.0)
            });
            equation.state(&f, None).ok()?;
            Some(median(repetitions, || {
                let _ = equation.state(&f, None);
            }))
        }
        _ => None,
    }
}

fn main() {
    lisse_benches::run_case("solve_pde", time);
}
