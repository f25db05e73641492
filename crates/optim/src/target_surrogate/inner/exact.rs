//! The minimizer of the surrogate of a model that is linear in its parameters.

use lisse_array::{Array, DType, Stream};

use super::{Limits, Linearised, Outcome, Work, gauss_newton, norm};

pub(super) fn solve<'a>(
    work: &mut Work<'a>,
    x: &Array,
    at: Linearised<'a>,
    limits: Limits,
) -> Outcome {
    let solved = if limits.steps > 0 && is_affine(work, x, &at.outputs) {
        closed_form(work, x, &at)
    } else {
        None
    };
    match solved {
        Some(outcome) => outcome,
        None => gauss_newton::solve([1e-10, 0.0], x.len(), work, x, at, limits),
    }
}

/// Whether the model's second differences along a random direction vanish.
fn is_affine(work: &mut Work<'_>, x: &Array, outputs: &Array) -> bool {
    let v = x.device().with(|| Stream::new(0).child("direction").normal(&[x.len()], x.dtype()));
    let once = work.outputs(&(x + &v));
    let twice = work.outputs(&x.add_scaled(2.0, &v));
    let back = work.outputs(&(x - &v));
    let size = outputs.abs().max_all().item() + twice.abs().max_all().item() + 1e-30;
    let tolerance = if x.dtype() == DType::F64 { 1e-10 } else { 1e-4 } * size;
    let bend = |a: &Array, b: &Array, c: &Array| (a + c - b * 2.0).abs().max_all().item();
    bend(&back, outputs, &once) <= tolerance && bend(outputs, &once, &twice) <= tolerance
}

/// `x - (sqrt(W) J)^+ g / sqrt(W)`; none for a divergence, or where there are numbers that are not finite.
fn closed_form(work: &mut Work<'_>, x: &Array, at: &Linearised<'_>) -> Option<Outcome> {
    let root = work.surrogate.weights()?.sqrt().reshape(&[-1]);
    let jacobian = columns(work, x);
    let weighted = &jacobian * root.unsqueeze(-1);
    let right = work.surrogate.gradient.reshape(&[-1]) / root;
    let step = weighted.pinv(None).ok()?.matmul(&right);
    let x = x - step;
    let gradient_norm = norm(&work.gradient(at));
    Some(Outcome { x, outputs: None, steps: 1, gradient_norm, increases: 0 })
}

/// The Jacobian `[outputs, parameters]` of an affine model: what each parameter adds to the outputs at zero.
fn columns(work: &mut Work<'_>, x: &Array) -> Array {
    let origin = work.outputs(&x.zeros_like());
    let units = x.device().with(|| Array::eye(x.len(), x.dtype()));
    let columns: Vec<Array> =
        (0..x.len()).map(|i| (work.outputs(&units.index(0, i)) - &origin).reshape(&[-1])).collect();
    Array::stack(&columns.iter().collect::<Vec<_>>(), 1)
}
