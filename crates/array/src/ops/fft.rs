//! Fourier transforms, by the `rustfft` and `realfft` crates.

use std::sync::Arc;

use rayon::prelude::*;
use realfft::RealFftPlanner;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftDirection, FftPlanner};

use crate::linalg::{Real, with_real};
use crate::storage::{elements, raw_tensor};
use crate::tape::derive_joint;
use crate::{Array, DType, shape};

impl Array {
    /// Discrete Fourier transform of `re + i im` along the given axes (none: all), of any length:
    /// `Y_k = sum_n X_n exp(-2 pi i k n / N)`, as numpy's `fftn`. Returns real and imaginary part.
    ///
    /// Runs in f64 and f32, in parallel, on the host. Differentiable to any order; the cotangent is a pair of real arrays like
    /// the value.
    ///
    /// ```
    /// use lisse_array::{Array, DType};
    /// let x = Array::from_slice(&[1.0f64, 0.0, 0.0, 0.0], &[4]);
    /// let (re, im) = Array::fft(&x, &x.zeros_like(), &[0]);
    /// assert_eq!(re.to_vec::<f64>(), [1.0; 4]);
    /// assert_eq!(im.to_vec::<f64>(), [0.0; 4]);
    /// ```
    #[track_caller]
    pub fn fft(re: &Array, im: &Array, axes: &[isize]) -> (Array, Array) {
        check_pair("fft", re, im);
        dft(re, im, resolve("fft", axes, re.shape()), FftDirection::Forward)
    }

    /// Inverse of [`fft`](Self::fft): `X_n = 1/N sum_k Y_k exp(2 pi i k n / N)` along each of the axes (none: all).
    #[track_caller]
    pub fn ifft(re: &Array, im: &Array, axes: &[isize]) -> (Array, Array) {
        check_pair("ifft", re, im);
        let axes = resolve("ifft", axes, re.shape());
        let scale = 1.0 / axes.iter().map(|&a| re.shape()[a]).product::<usize>() as f64;
        let (re, im) = dft(re, im, axes, FftDirection::Inverse);
        (re * scale, im * scale)
    }

    /// Discrete Fourier transform of a real array along the given axes (none: all), as numpy's `rfftn`: along the last axis
    /// listed, of length `n`, only the frequencies `0..=n/2` are returned; the others are their mirrored conjugates.
    ///
    /// ```
    /// use lisse_array::{Array, DType};
    /// let x = Array::arange(0.0, 6.0, 1.0, DType::F64);
    /// let (re, im) = Array::rfft(&x, &[0]);
    /// assert_eq!(re.shape(), [4]);
    /// let back = Array::irfft(&re, &im, 6, &[0]);
    /// assert!((back - x).abs().max_all().item() < 1e-14);
    /// ```
    #[track_caller]
    pub fn rfft(x: &Array, axes: &[isize]) -> (Array, Array) {
        check_dtype("rfft", x);
        let mut axes = resolve("rfft", axes, x.shape());
        let last = axes.pop().expect("at least one axis");
        let (re, im) = real_to_half(x, last);
        if axes.is_empty() { (re, im) } else { dft(&re, &im, axes, FftDirection::Forward) }
    }

    /// Inverse of [`rfft`](Self::rfft), as numpy's `irfftn`: real, with length `n` along the last axis listed, where the
    /// operands have length `n/2 + 1`. Imaginary parts that the transform of a real array cannot have (of frequency zero, and of
    /// `n/2` for even `n`) do not count.
    #[track_caller]
    pub fn irfft(re: &Array, im: &Array, n: usize, axes: &[isize]) -> Array {
        check_pair("irfft", re, im);
        let mut axes = resolve("irfft", axes, re.shape());
        let last = axes.pop().expect("at least one axis");
        let half = re.shape()[last];
        assert!(
            n > 0 && n / 2 + 1 == half,
            "irfft: a result of length {n} needs {} frequencies along axis {last}, got shape {:?}",
            n / 2 + 1,
            re.shape()
        );
        let count = n * axes.iter().map(|&a| re.shape()[a]).product::<usize>();
        let x = if axes.is_empty() {
            half_to_real(re, im, n, last)
        } else {
            let (re, im) = dft(re, im, axes, FftDirection::Inverse);
            half_to_real(&re, &im, n, last)
        };
        x * (1.0 / count as f64)
    }
}

#[track_caller]
fn check_dtype(operation: &str, x: &Array) {
    assert!(
        matches!(x.dtype(), DType::F64 | DType::F32),
        "{operation}: runs in f64 and f32, got {}; cast first",
        x.dtype()
    );
}

#[track_caller]
fn check_pair(operation: &str, re: &Array, im: &Array) {
    check_dtype(operation, re);
    assert!(
        re.shape() == im.shape() && re.dtype() == im.dtype() && re.device() == im.device(),
        "{operation}: real part {} {:?} and imaginary part {} {:?} differ",
        re.dtype(),
        re.shape(),
        im.dtype(),
        im.shape()
    );
}

/// The axes in the order given, since the last one is special for real transforms.
#[track_caller]
fn resolve(operation: &str, axes: &[isize], of: &[usize]) -> Vec<usize> {
    let mut sorted = shape::axes(operation, axes, of);
    assert!(!sorted.is_empty(), "{operation}: a scalar has no axis to transform");
    if let Some(&empty) = sorted.iter().find(|&&a| of[a] == 0) {
        panic!("{operation}: axis {empty} of shape {of:?} is empty");
    }
    if axes.is_empty() {
        return sorted.into_vec();
    }
    sorted.clear();
    sorted.extend(axes.iter().map(|&a| shape::axis(operation, a, of)));
    sorted.into_vec()
}

/// The transform without a factor. Its matrix `F` is symmetric, so that the transpose as a real map is `conj(F)`: the
/// transform in the other direction.
fn dft(re: &Array, im: &Array, axes: Vec<usize>, direction: FftDirection) -> (Array, Array) {
    let mut value = (re.stop_gradient(), im.stop_gradient());
    for &axis in &axes {
        value = with_real!(re.dtype(), T => dft_axis::<T>(&value.0, &value.1, axis, direction));
    }
    let outputs = derive_joint(vec![value.0, value.1], &[re, im], move |cts, wanted, _| {
        let Some((ct_re, ct_im)) = complete(cts) else { return vec![None, None] };
        let (re, im) = dft(&ct_re, &ct_im, axes.clone(), direction.opposite_direction());
        vec![wanted[0].then_some(re), wanted[1].then_some(im)]
    });
    pair(outputs)
}

fn pair(outputs: Vec<Array>) -> (Array, Array) {
    let [re, im] = <[Array; 2]>::try_from(outputs).expect("two outputs");
    (re, im)
}

/// Both cotangents, with zeros for one that did not arrive.
fn complete(cts: &[Option<Array>]) -> Option<(Array, Array)> {
    match (&cts[0], &cts[1]) {
        (None, None) => None,
        (Some(re), None) => Some((re.clone(), re.zeros_like())),
        (None, Some(im)) => Some((im.zeros_like(), im.clone())),
        (Some(re), Some(im)) => Some((re.clone(), im.clone())),
    }
}

/// `y_k = sum_n x_n exp(-2 pi i k n / N)` for `k = 0..=N/2`.
fn real_to_half(x: &Array, axis: usize) -> (Array, Array) {
    let n = x.shape()[axis];
    let (re, im) = with_real!(x.dtype(), T => real_forward::<T>(&x.stop_gradient(), axis));
    let rank = x.rank();
    let outputs = derive_joint(vec![re, im], &[x], move |cts, _, _| {
        let Some((re, im)) = complete(cts) else { return vec![None] };
        // The real inverse counts each inner frequency twice, its mirror image included; the transpose counts it once.
        let weights = inner_weights(&re, n, axis, rank, 0.5);
        vec![Some(half_to_real(&(re * &weights), &(im * weights), n, axis))]
    });
    pair(outputs)
}

/// `x_n = sum_k w_k Re(y_k exp(2 pi i k n / N))` with weight one for frequencies zero and `N/2`, two for those between.
fn half_to_real(re: &Array, im: &Array, n: usize, axis: usize) -> Array {
    let (re0, im0) = (re.stop_gradient(), im.stop_gradient());
    let value = with_real!(re.dtype(), T => real_inverse::<T>(&re0, &im0, n, axis));
    let rank = re.rank();
    let mut outputs = derive_joint(vec![value], &[re, im], move |cts, wanted, _| {
        let Some(ct) = &cts[0] else { return vec![None, None] };
        let (re, im) = real_to_half(ct, axis);
        let weights = inner_weights(&re, n, axis, rank, 2.0);
        vec![wanted[0].then(|| re * &weights), wanted[1].then(|| im * &weights)]
    });
    outputs.remove(0)
}

/// One for frequencies zero and `n/2`, `inner` for those between, along `axis`.
fn inner_weights(like: &Array, n: usize, axis: usize, rank: usize, inner: f64) -> Array {
    let half = n / 2 + 1;
    let weights = (0..half).map(|k| if k == 0 || 2 * k == n { 1.0 } else { inner }).collect();
    let mut shape = vec![1isize; rank];
    shape[axis] = half as isize;
    like.device()
        .with(|| Array::from_vec::<f64>(weights, &[half]))
        .cast(like.dtype())
        .reshape(&shape)
}

/// Elements per task below which threads do not pay.
const GRAIN: usize = 1 << 14;

fn rows_per_task(n: usize) -> usize {
    (GRAIN / n.max(1)).max(1)
}

/// The array with `axis` moved last, on the host and row-major, and its shape then.
fn rows_of<T: Real>(x: &Array, axis: usize) -> (crate::cpu::CpuTensor, Vec<usize>) {
    let moved = x.swap_axes(axis as isize, -1);
    (moved.to_cpu(), moved.shape().to_vec())
}

/// The inverse of [`rows_of`] for the result.
fn from_rows<T: Real>(values: Vec<T>, shape: &[usize], axis: usize, like: &Array) -> Array {
    Array::from_cpu(raw_tensor(values, shape, T::DTYPE))
        .swap_axes(axis as isize, -1)
        .to_device(like.device())
}

fn dft_axis<T: Real + rustfft::FftNum>(
    re: &Array,
    im: &Array,
    axis: usize,
    direction: FftDirection,
) -> (Array, Array) {
    let n = re.shape()[axis];
    let plan: Arc<dyn Fft<T>> = FftPlanner::new().plan_fft(n, direction);
    let ((re_rows, shape), (im_rows, _)) = (rows_of::<T>(re, axis), rows_of::<T>(im, axis));
    let mut out_re = elements::<T>(&re_rows).to_vec();
    let mut out_im = elements::<T>(&im_rows).to_vec();
    let chunk = rows_per_task(n) * n;
    out_re.par_chunks_mut(chunk).zip(out_im.par_chunks_mut(chunk)).for_each(|(re, im)| {
        let mut buffer: Vec<Complex<T>> =
            re.iter().zip(im.iter()).map(|(&re, &im)| Complex { re, im }).collect();
        plan.process(&mut buffer);
        for ((re, im), z) in re.iter_mut().zip(im).zip(buffer) {
            (*re, *im) = (z.re, z.im);
        }
    });
    (from_rows(out_re, &shape, axis, re), from_rows(out_im, &shape, axis, re))
}

fn real_forward<T: Real + rustfft::FftNum>(x: &Array, axis: usize) -> (Array, Array) {
    let n = x.shape()[axis];
    let half = n / 2 + 1;
    let plan = RealFftPlanner::<T>::new().plan_fft_forward(n);
    let (rows, mut shape) = rows_of::<T>(x, axis);
    let rows = elements::<T>(&rows);
    let count = rows.len() / n;
    let zero = <T as crate::Element>::from_f64(0.0);
    let (mut out_re, mut out_im) = (vec![zero; count * half], vec![zero; count * half]);
    let per_task = rows_per_task(n);
    out_re
        .par_chunks_mut(per_task * half)
        .zip(out_im.par_chunks_mut(per_task * half))
        .zip(rows.par_chunks(per_task * n))
        .for_each(|((re, im), x)| {
            let (mut input, mut output) = (plan.make_input_vec(), plan.make_output_vec());
            let mut scratch = plan.make_scratch_vec();
            for ((re, im), x) in
                re.chunks_exact_mut(half).zip(im.chunks_exact_mut(half)).zip(x.chunks_exact(n))
            {
                input.copy_from_slice(x);
                plan.process_with_scratch(&mut input, &mut output, &mut scratch)
                    .expect("buffers made by the plan");
                for ((re, im), z) in re.iter_mut().zip(im).zip(&output) {
                    (*re, *im) = (z.re, z.im);
                }
            }
        });
    *shape.last_mut().expect("at least one axis") = half;
    (from_rows(out_re, &shape, axis, x), from_rows(out_im, &shape, axis, x))
}

fn real_inverse<T: Real + rustfft::FftNum>(re: &Array, im: &Array, n: usize, axis: usize) -> Array {
    let half = n / 2 + 1;
    let plan = RealFftPlanner::<T>::new().plan_fft_inverse(n);
    let ((re_rows, mut shape), (im_rows, _)) = (rows_of::<T>(re, axis), rows_of::<T>(im, axis));
    let (re_rows, im_rows) = (elements::<T>(&re_rows), elements::<T>(&im_rows));
    let zero = <T as crate::Element>::from_f64(0.0);
    let mut out = vec![zero; re_rows.len() / half * n];
    let per_task = rows_per_task(n);
    out.par_chunks_mut(per_task * n)
        .zip(re_rows.par_chunks(per_task * half))
        .zip(im_rows.par_chunks(per_task * half))
        .for_each(|((x, re), im)| {
            let (mut input, mut scratch) = (plan.make_input_vec(), plan.make_scratch_vec());
            for ((x, re), im) in
                x.chunks_exact_mut(n).zip(re.chunks_exact(half)).zip(im.chunks_exact(half))
            {
                for ((z, &re), &im) in input.iter_mut().zip(re).zip(im) {
                    *z = Complex { re, im };
                }
                // The plan refuses what a real signal's transform cannot have.
                input[0].im = zero;
                if n.is_multiple_of(2) {
                    input[half - 1].im = zero;
                }
                plan.process_with_scratch(&mut input, x, &mut scratch)
                    .expect("buffers made by the plan");
            }
        });
    *shape.last_mut().expect("at least one axis") = n;
    from_rows(out, &shape, axis, re)
}
