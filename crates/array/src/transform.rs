//! Transformations: function in, function out, nested to any order.

use crate::tape::{self, Scope};
use crate::{Array, Device, Tree};

/// Fresh leaves of `scope` for the trained leaves of `p`.
fn lift<P: Tree>(scope: &Scope, p: &P) -> P {
    p.map_named(|path, leaf| {
        if leaf.dtype().is_float() && !path.is_buffer() { scope.leaf(leaf) } else { leaf.clone() }
    })
}

/// Cotangents of the leaves of `lifted` as a tree; zeros where nothing arrived.
fn pull<P: Tree>(lifted: &P, seeds: Vec<(Array, Array)>, bit: u64) -> P {
    let leaves: Vec<_> = lifted.leaves().into_iter().map(|leaf| leaf.node().cloned()).collect();
    // Only the node of a seed is kept: its value is not needed, and the record must be freed as it is walked.
    let seeds = seeds.into_iter().map(|(out, ct)| (out.into_parts().1, ct)).collect();
    let found = tape::backward(seeds, bit, &leaves);
    let shapes = lifted.leaves();
    let cotangents = found.into_iter().zip(shapes).map(|(ct, leaf)| match ct {
        Some(ct) => tape::settle(ct),
        None => leaf.zeros_like(),
    });
    lifted.with_leaves(cotangents.collect::<Vec<_>>())
}

#[track_caller]
fn check_scalar(name: &str, value: &Array) {
    assert!(
        value.len() == 1 && value.dtype().is_float(),
        "{name}: the function must return one float, not {} of shape {:?}",
        value.dtype(),
        value.shape()
    );
}

/// The gradient of a scalar function of a tree: same structure, shapes and dtypes as its argument. Buffers and integers get zeros.
///
/// ```
/// use lisse_array::{Array, grad};
/// let cube = |x: &Array| x.square() * x;
/// let x = Array::scalar(3.0f64);
/// assert_eq!(grad(cube)(&x).item(), 27.0);
/// assert_eq!(grad(grad(cube))(&x).item(), 18.0);
/// assert_eq!(grad(grad(grad(cube)))(&x).item(), 6.0);
/// ```
pub fn grad<P: Tree>(f: impl Fn(&P) -> Array) -> impl Fn(&P) -> P {
    let f = value_and_grad(f);
    move |p| f(p).1
}

/// The value of a scalar function and its gradient, in one pass.
pub fn value_and_grad<P: Tree>(f: impl Fn(&P) -> Array) -> impl Fn(&P) -> (Array, P) {
    move |p| {
        let (value, gradient, ()) = value_and_grad_aux(|p: &P| (f(p), ()))(p);
        (value, gradient)
    }
}

/// As [`value_and_grad`], for a function that returns something else beside the scalar (predictions, statistics); the
/// extra result is passed through undifferentiated.
pub fn value_and_grad_aux<P: Tree, A: Tree>(
    f: impl Fn(&P) -> (Array, A),
) -> impl Fn(&P) -> (Array, P, A) {
    move |p| {
        let scope = Scope::enter();
        let lifted = lift(&scope, p);
        let (value, aux) = f(&lifted);
        check_scalar("grad", &value);
        scope.stop_recording();
        let seed = value.ones_like();
        let aux = aux.map(|leaf| tape::settle(leaf.clone()));
        let result = tape::settle(value.clone());
        let gradient = pull(&lifted, vec![(value, seed)], scope.bit());
        (result, gradient, aux)
    }
}

/// The value of `f` at `p` and its pullback: from a cotangent of the value (same structure) to that of `p`. The pullback can
/// be called any number of times, and differentiated.
///
/// ```
/// use lisse_array::{Array, vjp};
/// let x = Array::from_slice(&[1.0f64, 2.0], &[2]);
/// let (y, pullback) = vjp(|x: &Array| x.square(), &x);
/// assert_eq!(y.to_vec::<f64>(), [1.0, 4.0]);
/// assert_eq!(pullback(&Array::from_slice(&[1.0f64, 10.0], &[2])).to_vec::<f64>(), [2.0, 40.0]);
/// ```
pub fn vjp<P: Tree, Q: Tree, F: FnOnce(&P) -> Q>(
    f: F,
    p: &P,
) -> (Q, impl Fn(&Q) -> P + use<P, Q, F>) {
    let scope = Scope::enter();
    let lifted = lift(&scope, p);
    let q = f(&lifted);
    let bit = scope.bit();
    drop(scope);
    let value = q.map(|leaf| tape::settle(leaf.clone()));
    let pullback = move |cotangent: &Q| {
        let seeds = q
            .leaves()
            .into_iter()
            .zip(cotangent.leaves())
            .filter(|(out, _)| out.dtype().is_float())
            .map(|(out, ct)| {
                assert!(
                    out.shape() == ct.shape(),
                    "vjp: the value has shape {:?}, its cotangent {:?}",
                    out.shape(),
                    ct.shape()
                );
                (out.clone(), ct.clone())
            })
            .collect();
        pull(&lifted, seeds, bit)
    };
    (value, pullback)
}

/// The value of `f` at `p` and its directional derivative along `tangent`: the transpose of the transpose.
pub fn jvp<P: Tree, Q: Tree>(f: impl FnOnce(&P) -> Q, p: &P, tangent: &P) -> (Q, Q) {
    let (q, pullback) = vjp(f, p);
    // The second pass must not take the first one's leaves for its own.
    let _reserved = Scope::reserve();
    let (_, transpose) = vjp(|u: &Q| pullback(u), &q.zeros_like());
    (q, transpose(tangent))
}

/// Hessian-vector product of a scalar function: `(d/dp) <grad f(p), v>`, exact, at about four gradients' cost.
pub fn hvp<P: Tree>(f: impl Fn(&P) -> Array, p: &P, v: &P) -> P {
    value_grad_hvp(f, p, v).2
}

/// Value, gradient and Hessian-vector product in one pass.
pub fn value_grad_hvp<P: Tree>(f: impl Fn(&P) -> Array, p: &P, v: &P) -> (Array, P, P) {
    let inner = |p: &P| {
        let (value, gradient) = value_and_grad(&f)(p);
        let along = gradient.dot_array(v);
        (along, (value, gradient))
    };
    let (_, product, (value, gradient)) = value_and_grad_aux(inner)(p);
    (value, gradient, product)
}

/// The Jacobian of an array function of an array, of shape `[...output, ...input]`: one pullback per output element.
pub fn jacobian(f: impl FnOnce(&Array) -> Array, x: &Array) -> Array {
    let (y, pullback) = vjp(f, x);
    let n = y.len();
    let basis = y.device().with(|| Array::eye(n, y.dtype()));
    let as_output: Vec<isize> = y.shape().iter().map(|&d| d as isize).collect();
    let rows: Vec<Array> =
        (0..n).map(|i| pullback(&basis.narrow(0, i, 1).reshape(&as_output))).collect();
    let shape: Vec<isize> = y.shape().iter().chain(x.shape()).map(|&d| d as isize).collect();
    if rows.is_empty() {
        return y.device().with(|| Array::zeros(&[0], y.dtype())).reshape(&shape);
    }
    Array::stack(&rows.iter().collect::<Vec<_>>(), 0).reshape(&shape)
}

/// The Hessian of a scalar function of an array, of shape `[...x, ...x]`.
pub fn hessian(f: impl Fn(&Array) -> Array, x: &Array) -> Array {
    jacobian(|x| grad(&f)(x), x)
}

/// Gradients of `f(p, example)` for each example `0..count`, stacked along a new leading axis of every leaf.
///
/// Examples run in parallel on the processor; what `f` captures is a constant here.
pub fn per_example_grad<P: Tree + Send + Sync>(
    f: impl Fn(&P, usize) -> Array + Sync,
    p: &P,
    count: usize,
) -> P {
    use rayon::prelude::*;
    // Worker threads have a current device of their own: give them the caller's.
    let device = Device::current();
    let gradients: Vec<P> =
        (0..count).into_par_iter().map(|i| device.with(|| grad(|p: &P| f(p, i))(p))).collect();
    let rows: Vec<Vec<&Array>> = gradients.iter().map(Tree::leaves).collect();
    let mut leaf = 0;
    p.map(|like| {
        let column: Vec<&Array> = rows.iter().map(|row| row[leaf]).collect();
        leaf += 1;
        if column.is_empty() {
            let shape: Vec<usize> =
                std::iter::once(0).chain(like.shape().iter().copied()).collect();
            return like.device().with(|| Array::zeros(&shape, like.dtype()));
        }
        Array::stack(&column, 0)
    })
}

/// `f(p)`, computed again in the backward pass instead of remembering its intermediate values: less memory for one more
/// evaluation. Everything to be differentiated must come through `p`, not through what `f` captures.
pub fn checkpoint<P, Q>(f: impl Fn(&P) -> Q + Send + Sync + 'static, p: &P) -> Q
where
    P: Tree + Send + Sync + 'static,
    Q: Tree + Send + Sync + 'static,
{
    let f = std::sync::Arc::new(f);
    let again = f.clone();
    custom_vjp(p, move |p| (f(p), ()), move |p, _, (), ct| vjp(|p: &P| again(p), p).1(ct))
}

/// A function with its own derivative: a fixed point, a linear solve, a simulator.
///
/// `forward` runs on `p` unrecorded and returns the value and whatever residual the derivative needs. `backward(p, value,
/// residual, cotangent)` returns the cotangent of `p`; it is written in `Array` operations on `p` and `value`, so that it can
/// be differentiated again. Anything in the residual is a constant.
pub fn custom_vjp<P, Q, R>(
    p: &P,
    forward: impl FnOnce(&P) -> (Q, R),
    backward: impl Fn(&P, &Q, &R, &Q) -> P + Send + Sync + 'static,
) -> Q
where
    P: Tree + Send + Sync + 'static,
    Q: Tree + Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    let constants = p.map(Array::stop_gradient);
    let (q, residual) = tape::without_recording(|| forward(&constants));
    let outputs: Vec<Array> = q.leaves().into_iter().cloned().collect();
    let structure = q.map(Array::stop_gradient);
    let p_kept = p.clone();
    let operands: Vec<&Array> = p.leaves();
    let outputs = tape::derive_joint(outputs, &operands, move |cts, wanted, values| {
        let value =
            structure.with_leaves((0..cts.len()).map(|i| values.get(i)).collect::<Vec<_>>());
        let mut ct_leaves = cts.iter();
        let cotangent = structure.map(|leaf| match ct_leaves.next() {
            Some(Some(ct)) => ct.clone(),
            _ => leaf.zeros_like(),
        });
        let result = backward(&p_kept, &value, &residual, &cotangent);
        let results: Vec<&Array> = result.leaves();
        assert!(
            results.len() == wanted.len(),
            "custom_vjp: the backward function returned {} leaves for {} of the argument",
            results.len(),
            wanted.len()
        );
        results.into_iter().zip(wanted).map(|(r, &w)| w.then(|| r.clone())).collect()
    });
    q.with_leaves(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::check;

    fn vector(values: &[f64]) -> Array {
        Array::from_slice(values, &[values.len()])
    }

    #[test]
    fn gradients_of_examples_stand_in_rows() {
        let data = vector(&[1.0, 2.0, 3.0]);
        let p = (vector(&[0.5, -1.0]), Array::scalar(2.0f64));
        let loss = |(w, b): &(Array, Array), i: usize| {
            w.square().sum_all() * data.narrow(0, i, 1).reshape(&[]) + b
        };
        let (w, b) = per_example_grad(loss, &p, 3);
        assert_eq!(w.shape(), [3, 2]);
        assert_eq!(w.to_vec::<f64>(), [1.0, -2.0, 2.0, -4.0, 3.0, -6.0]);
        assert_eq!(b.to_vec::<f64>(), [1.0; 3]);
        assert_eq!(per_example_grad(loss, &p, 0).0.shape(), [0, 2]);
    }

    #[test]
    fn gradients_nest_to_the_fourth_order() {
        let f = |x: &Array| x.square().square() * x;
        let x = Array::scalar(2.0f64);
        assert_eq!(grad(f)(&x).item(), 80.0);
        assert_eq!(grad(grad(f))(&x).item(), 160.0);
        assert_eq!(grad(grad(grad(f)))(&x).item(), 240.0);
        assert_eq!(grad(grad(grad(grad(f))))(&x).item(), 240.0);
    }

    #[test]
    fn inner_and_outer_variables_are_kept_apart() {
        // d/dx [ x * d/dy (x + y) ] = 1: the classic confusion of perturbations gives 2.
        let f = |x: &Array| x * grad(|y: &Array| x + y)(&Array::scalar(1.0f64));
        assert_eq!(grad(f)(&Array::scalar(1.0f64)).item(), 1.0);
        // d/dx d/dy (x y^2) at y = x.
        let g = |x: &Array| grad(|y: &Array| x * y.square())(x);
        assert_eq!(grad(g)(&Array::scalar(3.0f64)).item(), 12.0);
    }

    #[test]
    fn hessian_vector_product_and_jacobian_agree_with_the_matrix() {
        let a = Array::from_slice(&[3.0f64, 1.0, 1.0, 2.0], &[2, 2]);
        let f = |x: &Array| x.matmul(&a.matmul(x)) * 0.5;
        let x = vector(&[1.0, -1.0]);
        let h = hessian(f, &x);
        assert_eq!(h.to_vec::<f64>(), a.to_vec::<f64>());
        let v = vector(&[1.0, 2.0]);
        assert_eq!(hvp(f, &x, &v).to_vec::<f64>(), [5.0, 5.0]);
        let (value, tangent) = jvp(|x: &Array| a.matmul(x).exp(), &x, &v);
        let expected: Vec<f64> =
            value.to_vec::<f64>().iter().zip([5.0, 5.0]).map(|(y, t)| y * t).collect();
        for (t, e) in tangent.to_vec::<f64>().iter().zip(expected) {
            assert!((t - e).abs() < 1e-12);
        }
    }

    #[test]
    fn nothing_is_recorded_outside_a_transformation() {
        let x = vector(&[1.0, 2.0]);
        let g = grad(|x: &Array| x.exp().sum_all())(&x);
        assert!(g.node().is_none() && (&g * 2.0).node().is_none());
    }

    #[test]
    fn a_long_chain_is_freed_without_recursion() {
        let f = |x: &Array| {
            let mut y = x.clone();
            for _ in 0..200_000 {
                y = y * 1.00001;
            }
            y
        };
        let g = grad(f)(&Array::scalar(1.0f64)).item();
        assert!((g - 1.00001f64.powi(200_000)).abs() < 1e-9);
    }

    #[test]
    fn custom_derivatives_are_used_and_differentiated() {
        // The forward pass computes by a loop that is not recorded; the rule is x -> 2 x ct.
        let square = |x: &Array| {
            custom_vjp(x, |x| (x.square(), ()), |x: &Array, _, (), ct: &Array| x * ct * 2.0)
        };
        let x = Array::scalar(3.0f64);
        assert_eq!(grad(square)(&x).item(), 6.0);
        assert_eq!(grad(grad(square))(&x).item(), 2.0);
    }

    #[test]
    fn a_rule_in_terms_of_the_value_is_differentiated_through_it() {
        let exp = |x: &Array| {
            custom_vjp(x, |x| (x.exp(), ()), |_: &Array, y: &Array, (), ct: &Array| y * ct)
        };
        let third = grad(grad(grad(exp)))(&Array::scalar(0.5f64)).item();
        assert!((third - 0.5f64.exp()).abs() < 1e-12);
    }

    #[test]
    fn checkpoints_change_memory_but_not_derivatives() {
        let block = |x: &Array| x.tanh() * x.exp();
        let x = vector(&[0.3, -0.7]);
        let plain = grad(|x: &Array| block(&block(x)).sum_all())(&x);
        let stored = grad(|x: &Array| checkpoint(block, &checkpoint(block, x)).sum_all())(&x);
        assert_eq!(plain.to_vec::<f64>(), stored.to_vec::<f64>());
        check::gradient(|x: &Array| checkpoint(block, x), &x, 3).unwrap();
    }

    #[test]
    fn per_example_gradients_stack_in_order() {
        let data = vector(&[1.0, 2.0, 3.0]);
        let w = Array::scalar(2.0f64);
        let rows = per_example_grad(|w: &Array, i| (w * data.index(0, i)).square(), &w, 3);
        assert_eq!(rows.to_vec::<f64>(), [4.0, 16.0, 36.0]);
    }

    #[test]
    #[should_panic(expected = "matmul: inner dimensions differ: [2, 3] x [4, 5]")]
    fn shapes_that_do_not_fit_are_named() {
        Array::ones(&[2, 3], DType::F32).matmul(&Array::ones(&[4, 5], DType::F32));
    }
}
