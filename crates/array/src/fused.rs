//! Whole updates in one pass over the parameters, and products that read a matrix once, for optimizers. Not differentiable: their
//! results are constants.

use burn_flex::FlexTensor;

use crate::storage::{Storage, elements};
use crate::{Array, DType, Device, cpu};

/// The numbers of an Adam update; see [`adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamUpdate {
    /// Step size.
    pub rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// L2 penalty, added to the gradient.
    pub decay: f64,
    /// Weight decay that bypasses the moments.
    pub decoupled_decay: f64,
    /// Steps taken, this one included.
    pub step: u64,
}

/// The numbers of a step with momentum; see [`momentum`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentumUpdate {
    /// Step size.
    pub rate: f64,
    /// Share of the last direction that is kept.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub decay: f64,
    /// Whether to look ahead along the momentum.
    pub nesterov: bool,
}

/// `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; x -= rate m^ / (sqrt(v^) + eps)` with `m^ = m / (1 - b1^t)` and likewise
/// `v^`, after the decays. Returns the new `[x, m, v]`; buffers that nothing else holds are overwritten.
pub fn adam(arrays: [Array; 3], g: &Array, options: &AdamUpdate) -> [Array; 3] {
    match in_one_pass(&arrays.each_ref(), g) {
        Some(DType::F32) => adam_of::<f32>(arrays, g, options),
        Some(DType::F64) => adam_of::<f64>(arrays, g, options),
        _ => adam_composed(arrays, g, options),
    }
}

/// `g += decay x; m = momentum m + g; x -= rate (nesterov ? g + momentum m : m)`. Returns the new `[x, m]`; buffers that
/// nothing else holds are overwritten.
pub fn momentum(arrays: [Array; 2], g: &Array, options: &MomentumUpdate) -> [Array; 2] {
    match in_one_pass(&arrays.each_ref(), g) {
        Some(DType::F32) => momentum_of::<f32>(arrays, g, options),
        Some(DType::F64) => momentum_of::<f64>(arrays, g, options),
        _ => momentum_composed(arrays, g, options),
    }
}

/// The dtype of arrays that all lie on the processor.
fn in_one_pass(arrays: &[&Array], g: &Array) -> Option<DType> {
    arrays.iter().chain([&g]).all(|a| a.device() == Device::Cpu).then(|| g.dtype())
}

/// Row-major tensors to overwrite.
fn tensors<const N: usize>(arrays: [Array; N]) -> [FlexTensor; N] {
    arrays.map(|a| match a.into_parts().0 {
        Storage::Cpu(t) => cpu::row_major(t),
        #[cfg(feature = "gpu")]
        Storage::Gpu(_) => unreachable!("only arrays on the processor come here"),
    })
}

fn adam_of<T: cpu::Float + burn_backend::Element>(
    arrays: [Array; 3],
    g: &Array,
    o: &AdamUpdate,
) -> [Array; 3] {
    let correction = |beta: f64| T::of(1.0 - beta.powf(o.step as f64));
    let numbers = cpu::Adam::<T> {
        rate: T::of(o.rate),
        beta1: T::of(o.beta1),
        beta2: T::of(o.beta2),
        eps: T::of(o.epsilon),
        decoupled_decay: T::of(o.decoupled_decay),
        decay: T::of(o.decay),
        correction1: correction(o.beta1),
        correction2: correction(o.beta2),
    };
    let [mut x, mut m, mut v] = tensors(arrays);
    let g = g.to_cpu();
    cpu::adam_update(
        cpu::writable::<T>(&mut x),
        cpu::writable::<T>(&mut m),
        cpu::writable::<T>(&mut v),
        elements::<T>(&g),
        numbers,
    );
    [x, m, v].map(Array::from_cpu)
}

fn momentum_of<T: cpu::Float + burn_backend::Element>(
    arrays: [Array; 2],
    g: &Array,
    o: &MomentumUpdate,
) -> [Array; 2] {
    let numbers = cpu::Momentum::<T> {
        rate: T::of(o.rate),
        keep: T::of(o.momentum),
        decay: T::of(o.decay),
        nesterov: o.nesterov,
    };
    let [mut x, mut m] = tensors(arrays);
    let g = g.to_cpu();
    cpu::momentum_update(
        cpu::writable::<T>(&mut x),
        cpu::writable::<T>(&mut m),
        elements::<T>(&g),
        numbers,
    );
    [x, m].map(Array::from_cpu)
}

/// The same in single operations: the reference, and what runs off the processor.
fn adam_composed([x, m, v]: [Array; 3], g: &Array, o: &AdamUpdate) -> [Array; 3] {
    let g = g.add_scaled(o.decay, &x);
    let m = m * o.beta1 + &g * (1.0 - o.beta1);
    let v = v * o.beta2 + g.square() * (1.0 - o.beta2);
    let correction = |beta: f64| 1.0 - beta.powf(o.step as f64);
    let root = (&v / correction(o.beta2)).sqrt() + o.epsilon;
    let x = (x * (1.0 - o.rate * o.decoupled_decay))
        .add_scaled(-o.rate / correction(o.beta1), &(&m / root));
    [x, m, v]
}

fn momentum_composed([x, m]: [Array; 2], g: &Array, o: &MomentumUpdate) -> [Array; 2] {
    let g = g.add_scaled(o.decay, &x);
    let m = g.add_scaled(o.momentum, &m);
    let direction = if o.nesterov { g.add_scaled(o.momentum, &m) } else { m.clone() };
    [x.add_scaled(-o.rate, &direction), m]
}

/// `matrix x` of `[rows, columns]` and `[columns]`, f32 or f64 alike, as numbers: one pass over the matrix, bound by memory.
///
/// # Panics
/// If the shapes or types do not fit.
#[track_caller]
pub fn matrix_vector(matrix: &Array, x: &Array) -> Vec<f64> {
    check_matrix("matrix_vector", matrix, x);
    match in_one_pass(&[matrix], x) {
        Some(DType::F32) => {
            cpu::matrix_vector(elements::<f32>(&matrix.to_cpu()), elements::<f32>(&x.to_cpu()))
        }
        Some(DType::F64) => {
            cpu::matrix_vector(elements::<f64>(&matrix.to_cpu()), elements::<f64>(&x.to_cpu()))
        }
        _ => matrix.matmul(x).to_f64_vec(),
    }
}

/// `weights' matrix` of as many weights as `[rows, columns]` has rows, as `[columns]`: one pass over the matrix.
///
/// # Panics
/// If there are not as many weights as rows.
#[track_caller]
pub fn vector_matrix(weights: &[f64], matrix: &Array) -> Array {
    assert!(
        matrix.rank() == 2 && matrix.shape()[0] == weights.len(),
        "vector_matrix: {} weights for a matrix of shape {:?}",
        weights.len(),
        matrix.shape()
    );
    match in_one_pass(&[], matrix) {
        Some(DType::F32) => vector_matrix_of::<f32>(weights, matrix),
        Some(DType::F64) => vector_matrix_of::<f64>(weights, matrix),
        _ => {
            let weights = Array::from_slice(weights, &[weights.len()]).cast(matrix.dtype());
            weights.to_device(matrix.device()).matmul(matrix)
        }
    }
}

fn vector_matrix_of<T: cpu::Float + crate::Element + burn_backend::Element>(
    weights: &[f64],
    matrix: &Array,
) -> Array {
    let weights: Vec<T> = weights.iter().map(|&w| T::of(w)).collect();
    let columns = matrix.shape()[1];
    let mut out = cpu::output::<T>(columns);
    cpu::vector_matrix(&weights, elements::<T>(&matrix.to_cpu()), out.room());
    // SAFETY: the kernel writes every element.
    Array::from_cpu(unsafe { out.into_tensor(vec![columns].into(), matrix.dtype()) })
}

/// The matrix with row `row` replaced by `values`; its buffer is written to if nothing else holds it.
///
/// # Panics
/// If the shapes or types do not fit.
#[track_caller]
pub fn replace_row(matrix: Array, row: usize, values: &Array) -> Array {
    check_matrix("replace_row", &matrix, values);
    assert!(row < matrix.shape()[0], "replace_row: no row {row} in {:?}", matrix.shape());
    match in_one_pass(&[&matrix], values) {
        Some(DType::F32) => replace_row_of::<f32>(matrix, row, values),
        Some(DType::F64) => replace_row_of::<f64>(matrix, row, values),
        _ => {
            let (before, after) = (row, matrix.shape()[0] - row - 1);
            let parts = [
                matrix.narrow(0, 0, before),
                values.unsqueeze(0),
                matrix.narrow(0, row + 1, after),
            ];
            Array::cat(&parts.iter().collect::<Vec<_>>(), 0)
        }
    }
}

fn replace_row_of<T: cpu::Float + burn_backend::Element>(
    matrix: Array,
    row: usize,
    values: &Array,
) -> Array {
    let columns = matrix.shape()[1];
    let [mut matrix] = tensors([matrix]);
    cpu::writable::<T>(&mut matrix)[row * columns..(row + 1) * columns]
        .copy_from_slice(elements::<T>(&values.to_cpu()));
    Array::from_cpu(matrix)
}

#[track_caller]
fn check_matrix(operation: &str, matrix: &Array, vector: &Array) {
    assert!(
        matrix.rank() == 2
            && vector.shape() == &matrix.shape()[1..]
            && vector.dtype() == matrix.dtype(),
        "{operation}: {} {:?} and {} {:?} do not fit",
        matrix.dtype(),
        matrix.shape(),
        vector.dtype(),
        vector.shape()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    const DTYPES: [(DType, f64); 2] = [(DType::F32, 1e-6), (DType::F64, 1e-14)];

    fn draw(name: &str, dtype: DType) -> Array {
        Stream::new(1).child(name).normal(&[7, 5], dtype)
    }

    /// A transposed gradient, so that layouts matter.
    fn gradient(dtype: DType) -> Array {
        Stream::new(2).normal(&[5, 7], dtype).t()
    }

    #[test]
    fn adam_in_one_pass_is_the_composed_update() {
        let options = AdamUpdate {
            rate: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            decay: 0.1,
            decoupled_decay: 0.05,
            step: 3,
        };
        for (dtype, tolerance) in DTYPES {
            let start = [draw("x", dtype), draw("m", dtype), draw("v", dtype).square()];
            let one = adam(start.clone(), &gradient(dtype), &options);
            let many = adam_composed(start, &gradient(dtype), &options);
            for (a, b) in one.iter().zip(&many) {
                assert!((a - b).abs().max_all().item() < tolerance);
            }
        }
    }

    #[test]
    fn momentum_in_one_pass_is_the_composed_update() {
        for ((dtype, tolerance), nesterov) in DTYPES.into_iter().zip([false, true]) {
            let options = MomentumUpdate { rate: 0.1, momentum: 0.9, decay: 0.01, nesterov };
            let start = [draw("x", dtype), draw("m", dtype)];
            let one = momentum(start.clone(), &gradient(dtype), &options);
            let many = momentum_composed(start, &gradient(dtype), &options);
            for (a, b) in one.iter().zip(&many) {
                assert!((a - b).abs().max_all().item() < tolerance);
            }
        }
    }

    #[test]
    fn matrix_products_in_one_pass_are_those_of_matmul() {
        for (dtype, tolerance) in [(DType::F32, 1e-3), (DType::F64, 1e-10)] {
            for (rows, columns) in [(1, 1), (3, 40), (7, 5000), (33, 9001)] {
                let matrix = Stream::new(3).normal(&[rows, columns], dtype);
                let x = Stream::new(4).normal(&[columns], dtype);
                let w = Stream::new(5).normal(&[rows], dtype);
                let dots = Array::from_vec(matrix_vector(&matrix, &x), &[rows]);
                let difference = dots - matrix.matmul(&x).cast(DType::F64);
                assert!(difference.abs().max_all().item() < tolerance);
                let sum = vector_matrix(&w.to_f64_vec(), &matrix);
                assert!((sum - w.matmul(&matrix)).abs().max_all().item() < tolerance);
            }
        }
    }

    #[test]
    fn a_row_is_replaced_in_place_or_in_a_copy() {
        let matrix = Array::arange(0.0, 6.0, 1.0, DType::F64).reshape(&[3, 2]);
        let row = Array::from_slice(&[9.0, 8.0], &[2]);
        let held = matrix.clone();
        let new = replace_row(matrix, 1, &row);
        assert_eq!(new.to_vec::<f64>(), [0.0, 1.0, 9.0, 8.0, 4.0, 5.0]);
        assert_eq!(held.to_vec::<f64>(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let place = new.buffer_id();
        assert_eq!(replace_row(new, 0, &row).buffer_id(), place);
    }
}
