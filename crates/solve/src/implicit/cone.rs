//! Cone programs through the homogeneous self-dual embedding.

use lisse_array::{Array, Tree};

use super::Condition;
use crate::linear::Method;

/// A block of the cone that the slack variables lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cone {
    /// `s = 0`, so many equations.
    Zero(usize),
    /// `s >= 0`, so many inequalities.
    NonNegative(usize),
    /// `s_0 >= |(s_1, ...)|`, a second-order cone of this many elements.
    SecondOrder(usize),
}

impl Cone {
    fn len(self) -> usize {
        match self {
            Cone::Zero(n) | Cone::NonNegative(n) | Cone::SecondOrder(n) => n,
        }
    }

    /// Projection on the dual cone.
    fn project_dual(self, v: &Array) -> Array {
        match self {
            Cone::Zero(_) => v.clone(),
            Cone::NonNegative(_) => v.relu(),
            Cone::SecondOrder(n) => second_order(v, n),
        }
    }
}

/// Projection on the second-order cone, which is its own dual. Which of the three cases holds is not differentiated.
fn second_order(v: &Array, n: usize) -> Array {
    let values = v.to_f64_vec();
    let length = values[1..].iter().map(|x| x * x).sum::<f64>().sqrt();
    if length <= values[0] {
        return v.clone();
    }
    if length <= -values[0] {
        return v * 0.0;
    }
    let (head, tail) = (v.narrow(0, 0, 1), v.narrow(0, 1, n - 1));
    let norm = tail.square().sum_keep(&[0]).sqrt();
    let level = (&head + &norm) * 0.5;
    let tail = tail * (&level / norm);
    Array::cat(&[&level, &tail], 0)
}

/// The data of `min c^T x` subject to `A x + s = b`, `s` in a cone.
#[derive(Clone, Debug, Tree)]
pub struct ConeProgram {
    /// `A` of shape `[m, n]`.
    pub a: Array,
    /// `b` of shape `[m]`.
    pub b: Array,
    /// `c` of shape `[n]`.
    pub c: Array,
}

fn project_dual(cones: &[Cone], v: &Array) -> Array {
    let mut start = 0;
    let mut parts = Vec::with_capacity(cones.len());
    for cone in cones {
        parts.push(cone.project_dual(&v.narrow(0, start, cone.len())));
        start += cone.len();
    }
    Array::cat(&parts.iter().collect::<Vec<_>>(), 0)
}

impl Condition<Array, ConeProgram> {
    /// The normalised residual of the homogeneous self-dual embedding (Busseti, Moursi and Boyd 2019; Agrawal et al. 2019) at
    /// `z = (x, y - s, 1)`, the point that [`cone_start`] makes of a solution:
    ///
    /// ```text
    /// F(z) = ((Q - I) Pi + I) (z / |w|),   Q = [0 A^T c; -A 0 b; -c^T -b^T 0]
    /// ```
    ///
    /// with `Pi` the projection on `R^n x K* x R+`. `F` does not change along `z`, so the Jacobian is singular and least
    /// squares is the method unless another is chosen; [`cone_solution`] does not change along `z` either, so its derivative
    /// is the right one.
    ///
    /// # Panics
    /// If the cones do not sum to the rows of `A`.
    pub fn cone_program(cones: &[Cone]) -> Condition<Array, ConeProgram> {
        let cones = cones.to_vec();
        let mut condition = Condition::named("cone program", move |z: &Array, p: &ConeProgram| {
            let (m, n) = (p.b.len(), p.c.len());
            let rows: usize = cones.iter().map(|cone| cone.len()).sum();
            assert!(rows == m, "cone_program: the cones have {rows} rows, A has {m}");
            let w = z.narrow(0, n + m, 1).abs();
            let z = z / &w;
            let (u, v) = (z.narrow(0, 0, n), z.narrow(0, n, m));
            let w = z.narrow(0, n + m, 1);
            let (y, t) = (project_dual(&cones, &v), w.relu());
            let first = p.a.t().matmul(&y) + &p.c * &t;
            let second = &p.b * &t - p.a.matmul(&u) + &v - &y;
            let last = w - t - (&p.c * &u).sum_keep(&[0]) - (&p.b * &y).sum_keep(&[0]);
            Array::cat(&[&first, &second, &last], 0)
        });
        condition.method = Some(Method::Lsqr);
        condition
    }
}

/// The embedding's point of a solution: `x`, dual `y` and slack `s = b - A x`.
pub fn cone_start(x: &Array, y: &Array, s: &Array) -> Array {
    let one = Array::ones(&[1], x.dtype());
    Array::cat(&[x, &(y - s), &one], 0)
}

/// `(x, y, s)` of a point of the embedding with `n` variables.
pub fn cone_solution(z: &Array, n: usize, cones: &[Cone]) -> (Array, Array, Array) {
    let m = z.len() - n - 1;
    let w = z.narrow(0, n + m, 1);
    let (u, v) = (z.narrow(0, 0, n), z.narrow(0, n, m));
    let y = project_dual(cones, &v);
    let s = &y - v;
    (u / &w, y / &w, s / w)
}
