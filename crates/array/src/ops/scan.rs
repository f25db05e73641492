//! Running sums and products, and linear recurrences, along an axis.

use crate::cpu::{self, Cumulate};
use crate::shape;
use crate::storage::Storage;
use crate::tape::derive_joint;
use crate::{Array, DType};

/// The untracked running sum or product; from the last element to the first if `reverse`.
fn cumulate(op: Cumulate, x: &Array, axis: usize, reverse: bool) -> Array {
    match x.storage() {
        Storage::Cpu(t) => Array::from_cpu(cpu::cumulate(op, t, axis, reverse)),
        #[cfg(feature = "gpu")]
        _ if reverse => {
            let along = [axis as isize];
            cumulate(op, &x.stop_gradient().flip(&along), axis, false).flip(&along)
        }
        #[cfg(feature = "gpu")]
        Storage::Gpu(t) => Array::untracked(crate::gpu::cumulate(op, t.clone(), axis)),
    }
}

#[track_caller]
fn check_number(operation: &str, x: &Array) {
    assert!(
        x.dtype() != DType::Bool,
        "{operation}: needs numbers, got bool of shape {:?}; cast to i64 to count",
        x.shape()
    );
}

impl Array {
    /// Running sum along an axis: `y_t = x_0 + ... + x_t`.
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Array {
        check_number("cumsum", self);
        self.running_sum(shape::axis("cumsum", axis, self.shape()), false)
    }

    fn running_sum(&self, axis: usize, reverse: bool) -> Array {
        let value = cumulate(Cumulate::Sum, self, axis, reverse);
        value.derive(self, move |ct, _| ct.running_sum(axis, !reverse))
    }

    /// Running product along an axis: `y_t = x_0 ... x_t`. The derivative involves no division, so it is exact at every
    /// order also where elements are zero.
    #[track_caller]
    pub fn cumprod(&self, axis: isize) -> Array {
        check_number("cumprod", self);
        let at = shape::axis("cumprod", axis, self.shape());
        let value = cumulate(Cumulate::Prod, self, at, false);
        if !self.is_tracked() {
            return value;
        }
        let (x, kept) = (self.clone(), value.clone());
        // As y_t = x_t y_(t-1), the adjoint is g_t = ct_t + x_(t+1) g_(t+1), and x_t gets g_t y_(t-1).
        value.derive(self, move |ct, out| {
            let adjoint = recurrence(&x.neighbour(at, Side::After, 0.0), &ct, at, true);
            adjoint * out.attach(&kept).neighbour(at, Side::Before, 1.0)
        })
    }

    /// The linear recurrence `h_t = decay_t h_(t-1) + x_t` along an axis, with `h` zero before the start and `x` this array;
    /// the two broadcast. Exponential averages, discounted sums and diagonal state-space models are of this form.
    ///
    /// Time and memory are linear in the length, also for derivatives. Computed on the host.
    ///
    /// ```
    /// use lisse_array::Array;
    /// let x = Array::from_slice(&[1.0f64, 1.0, 1.0], &[3]);
    /// let h = x.linear_scan(&Array::scalar(0.5f64), 0);
    /// assert_eq!(h.to_vec::<f64>(), [1.0, 1.5, 1.75]);
    /// ```
    #[track_caller]
    pub fn linear_scan(&self, decay: &Array, axis: isize) -> Array {
        assert!(
            self.dtype() == decay.dtype(),
            "linear_scan: dtypes differ: {} of shape {:?} and decay {} of shape {:?}",
            self.dtype(),
            self.shape(),
            decay.dtype(),
            decay.shape()
        );
        check_number("linear_scan", self);
        let joint = shape::broadcast("linear_scan", self.shape(), decay.shape());
        let at = shape::axis("linear_scan", axis, &joint);
        recurrence(&decay.expand(&joint), &self.expand(&joint), at, false)
    }

    /// The element before or after each along an axis, `fill` where there is none.
    fn neighbour(&self, axis: usize, side: Side, fill: f64) -> Array {
        let n = self.shape()[axis];
        if n == 0 {
            return self.clone();
        }
        let along = axis as isize;
        let edge = self.stop_gradient().narrow(along, 0, 1).full_like(fill);
        match side {
            Side::Before => Array::cat(&[&edge, &self.narrow(along, 0, n - 1)], along),
            Side::After => Array::cat(&[&self.narrow(along, 1, n - 1), &edge], along),
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

/// `h_t = a_t h_(t-1) + b_t`, or `h_t = a_t h_(t+1) + b_t` if `reverse`, for `a` and `b` of one shape.
fn recurrence(a: &Array, b: &Array, axis: usize, reverse: bool) -> Array {
    let value = cpu::linear_scan(&a.to_cpu(), &b.to_cpu(), axis, reverse);
    let value = Array::from_cpu(value).to_device(b.device());
    let kept = a.clone();
    let (source, sink) =
        if reverse { (Side::After, Side::Before) } else { (Side::Before, Side::After) };
    let outputs = derive_joint(vec![value], &[a, b], move |cts, wanted, outputs| {
        let Some(ct) = &cts[0] else { return vec![None, None] };
        // The adjoint runs the other way, g_t = ct_t + a_(t+1) g_(t+1); b_t gets g_t and a_t gets g_t h_(t-1).
        let adjoint = recurrence(&kept.neighbour(axis, sink, 0.0), ct, axis, !reverse);
        let to_a = wanted[0].then(|| &adjoint * outputs.get(0).neighbour(axis, source, 0.0));
        vec![to_a, Some(adjoint)]
    });
    outputs.into_iter().next().expect("one output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check, grad, hessian};

    fn sample(shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        Array::from_vec((0..count).map(|i| (i as f64 * 0.7).cos() + 0.2).collect::<Vec<_>>(), shape)
    }

    #[test]
    fn values_along_every_axis() {
        let x = Array::arange(1.0, 7.0, 1.0, DType::F32).reshape(&[2, 3]);
        assert_eq!(x.cumsum(1).to_vec::<f32>(), [1., 3., 6., 4., 9., 15.]);
        assert_eq!(x.cumsum(0).to_vec::<f32>(), [1., 2., 3., 5., 7., 9.]);
        assert_eq!(x.cumprod(-1).to_vec::<f32>(), [1., 2., 6., 4., 20., 120.]);
        assert_eq!(x.t().cumprod(1).to_vec::<f32>(), [1., 4., 2., 10., 3., 18.]);
        for dtype in [DType::F16, DType::BF16, DType::I64, DType::I32, DType::U8] {
            assert_eq!(x.cast(dtype).cumsum(0).to_f64_vec(), [1., 2., 3., 5., 7., 9.], "{dtype}");
        }
        assert_eq!(Array::zeros(&[2, 0], DType::F32).cumsum(1).shape(), [2, 0]);
    }

    #[test]
    fn long_sums_keep_their_digits() {
        let x = Array::full(&[1_000_000], 0.1, DType::F32);
        let total = x.cumsum(0).narrow(0, 999_999, 1).item();
        assert!((total - 1e5).abs() < 0.01, "{total}");
    }

    #[test]
    fn many_lanes_agree_with_one() {
        let x = sample(&[300, 7, 40]);
        let whole = x.cumsum(1);
        for o in [0, 150, 299] {
            let lane = x.index(0, o).cumsum(0);
            assert_eq!(whole.index(0, o).to_vec::<f64>(), lane.to_vec::<f64>());
        }
    }

    #[test]
    fn sums_differentiate() {
        check::gradient(|x: &Array| x.sin().cumsum(0).square(), &sample(&[3, 2]), 2).unwrap();
        check::gradient(|x: &Array| x.sin().cumsum(1).square(), &sample(&[2, 3]), 3).unwrap();
    }

    #[test]
    fn products_differentiate_also_at_zeros() {
        check::gradient(|x: &Array| x.cumprod(0).sin(), &sample(&[4, 2]), 2).unwrap();
        for zeros in [vec![1], vec![0, 2], vec![0, 1, 2, 3]] {
            let mut values = vec![0.7f64, -1.3, 0.4, 1.9];
            for i in zeros {
                values[i] = 0.0;
            }
            let x = Array::from_vec(values, &[4]);
            check::gradient(|x: &Array| x.cumprod(0).sin(), &x, 3).unwrap();
            check::gradient(|x: &Array| x.prod_all(), &x, 4).unwrap();
        }
    }

    #[test]
    fn a_product_of_zeros_has_the_exact_derivatives() {
        let x = Array::from_slice(&[0.0f64, 0.0, 5.0], &[3]);
        assert_eq!(grad(Array::prod_all)(&x).to_vec::<f64>(), [0.0, 0.0, 0.0]);
        let h = hessian(Array::prod_all, &x).to_vec::<f64>();
        assert_eq!(h, [0., 5., 0., 5., 0., 0., 0., 0., 0.]);
    }

    #[test]
    fn recurrences_agree_with_a_loop_and_differentiate() {
        let (x, decay) = (sample(&[2, 5]), sample(&[5]) * 0.5);
        let h = x.linear_scan(&decay, 1).to_vec::<f64>();
        let (xs, ds) = (x.to_vec::<f64>(), decay.to_vec::<f64>());
        for o in 0..2 {
            let mut state = 0.0;
            for t in 0..5 {
                state = ds[t] * state + xs[o * 5 + t];
                assert!((h[o * 5 + t] - state).abs() < 1e-14);
            }
        }
        let f = |(x, decay): &(Array, Array)| x.linear_scan(decay, 1).sin();
        check::gradient(f, &(x, decay), 3).unwrap();
        let f = |(x, decay): &(Array, Array)| x.linear_scan(decay, 0).sin();
        check::gradient(f, &(sample(&[3, 2]), sample(&[3, 2])), 2).unwrap();
    }

    #[test]
    #[should_panic(expected = "cumsum: needs numbers, got bool of shape [1]")]
    fn truth_values_are_not_summed() {
        Array::from_slice(&[true], &[1]).cumsum(0);
    }
}
