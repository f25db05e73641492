//! Whole updates in one pass over the parameters, for optimizers. Not differentiable: their results are constants.

use crate::cpu::CpuTensor;
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
    match in_one_pass(&arrays, g) {
        Some(DType::F32) => adam_of::<f32>(arrays, g, options),
        Some(DType::F64) => adam_of::<f64>(arrays, g, options),
        _ => adam_composed(arrays, g, options),
    }
}

/// `g += decay x; m = momentum m + g; x -= rate (nesterov ? g + momentum m : m)`. Returns the new `[x, m]`; buffers that
/// nothing else holds are overwritten.
pub fn momentum(arrays: [Array; 2], g: &Array, options: &MomentumUpdate) -> [Array; 2] {
    match in_one_pass(&arrays, g) {
        Some(DType::F32) => momentum_of::<f32>(arrays, g, options),
        Some(DType::F64) => momentum_of::<f64>(arrays, g, options),
        _ => momentum_composed(arrays, g, options),
    }
}

/// `x -= rate (g + decay x)`. Overwrites `x` if nothing else holds its buffer.
pub fn descend(x: Array, g: &Array, rate: f64, decay: f64) -> Array {
    match in_one_pass(std::slice::from_ref(&x), g) {
        Some(DType::F32) => descend_of::<f32>(x, g, rate, decay),
        Some(DType::F64) => descend_of::<f64>(x, g, rate, decay),
        _ => descend_composed(&x, g, rate, decay),
    }
}

/// The dtype of arrays that all lie on the processor.
fn in_one_pass(arrays: &[Array], g: &Array) -> Option<DType> {
    arrays.iter().chain([g]).all(|a| a.device() == Device::Cpu).then(|| g.dtype())
}

/// Row-major tensors to overwrite.
fn tensors<const N: usize>(arrays: [Array; N]) -> [CpuTensor; N] {
    arrays.map(|a| match a.into_parts().0 {
        Storage::Cpu(t) => cpu::row_major(t),
        #[cfg(feature = "gpu")]
        Storage::Gpu(_) => unreachable!("only arrays on the processor come here"),
    })
}

fn adam_of<T: cpu::Float>(arrays: [Array; 3], g: &Array, o: &AdamUpdate) -> [Array; 3] {
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

fn momentum_of<T: cpu::Float>(arrays: [Array; 2], g: &Array, o: &MomentumUpdate) -> [Array; 2] {
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

fn descend_of<T: cpu::Float>(x: Array, g: &Array, rate: f64, decay: f64) -> Array {
    let [mut x] = tensors([x]);
    let g = g.to_cpu();
    cpu::gradient_update(cpu::writable::<T>(&mut x), elements::<T>(&g), T::of(-rate), T::of(decay));
    Array::from_cpu(x)
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

fn descend_composed(x: &Array, g: &Array, rate: f64, decay: f64) -> Array {
    x.add_scaled(-rate, &g.add_scaled(decay, x))
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
    fn descent_in_one_pass_is_the_composed_update() {
        for (dtype, _) in DTYPES {
            let (x, g) = (draw("x", dtype), gradient(dtype));
            for decay in [0.0, 0.01] {
                let one = descend(x.clone(), &g, 0.1, decay);
                assert_eq!(one.to_f64_vec(), descend_composed(&x, &g, 0.1, decay).to_f64_vec());
            }
        }
    }
}
