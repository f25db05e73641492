//! Whole updates in one pass over the parameters, for optimizers. Not differentiable: their results are constants.

use crate::storage::Storage;
use crate::{Array, DType, cpu};

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

/// `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; x -= rate m^ / (sqrt(v^) + eps)` with `m^ = m / (1 - b1^t)` and likewise
/// `v^`, after the decays. Returns the new `[x, m, v]`; buffers that nothing else holds are overwritten.
pub fn adam([x, m, v]: [Array; 3], g: &Array, options: &AdamUpdate) -> [Array; 3] {
    match x.dtype() {
        DType::F32 => fused([x, m, v], g, options),
        DType::F64 => fused_double([x, m, v], g, options),
        _ => adam_composed([x, m, v], g, options),
    }
}

macro_rules! fused_adam {
    ($name:ident, $T:ty) => {
        fn $name(arrays: [Array; 3], g: &Array, o: &AdamUpdate) -> [Array; 3] {
            if arrays.iter().chain([g]).any(|a| a.device() != crate::Device::Cpu) {
                return adam_composed(arrays, g, o);
            }
            let correction = |beta: f64| (1.0 - beta.powf(o.step as f64)) as $T;
            let numbers = cpu::Adam::<$T> {
                rate: o.rate as $T,
                beta1: o.beta1 as $T,
                beta2: o.beta2 as $T,
                eps: o.epsilon as $T,
                decoupled_decay: o.decoupled_decay as $T,
                decay: o.decay as $T,
                correction1: correction(o.beta1),
                correction2: correction(o.beta2),
            };
            let [mut x, mut m, mut v] = arrays.map(|a| {
                let Storage::Cpu(t) = a.into_parts().0 else { unreachable!("checked above") };
                cpu::row_major(t)
            });
            let g = g.to_row_major();
            let values = crate::storage::elements::<$T>(&g);
            cpu::adam_update(
                cpu::writable::<$T>(&mut x),
                cpu::writable::<$T>(&mut m),
                cpu::writable::<$T>(&mut v),
                values,
                numbers,
            );
            [x, m, v].map(Array::from_cpu)
        }
    };
}
fused_adam!(fused, f32);
fused_adam!(fused_double, f64);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    #[test]
    fn one_pass_is_the_composed_update() {
        let options = AdamUpdate {
            rate: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            decay: 0.1,
            decoupled_decay: 0.05,
            step: 3,
        };
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
            let draw = |name: &str| Stream::new(1).child(name).normal(&[7, 5], dtype);
            let start = [draw("x"), draw("m"), draw("v").square()];
            // A transposed gradient, so that layouts matter.
            let g = Stream::new(2).normal(&[5, 7], dtype).t();
            let one = adam(start.clone(), &g, &options);
            let many = adam_composed(start, &g, &options);
            for (a, b) in one.iter().zip(&many) {
                assert!((a - b).abs().max_all().item() < tolerance);
            }
        }
    }
}
