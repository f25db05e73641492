//! Whole updates in one pass over the parameters, for optimizers. Not differentiable: their results are constants.

pub use crate::cpu::Band;
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

/// The numbers of a step of gradient descent; see [`descend`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DescentUpdate {
    /// Step size.
    pub rate: f64,
    /// L2 penalty, added to the gradient.
    pub decay: f64,
}

/// What an update of one leaf takes: the arrays to overwrite, the gradient and the numbers.
pub type Leaf<'a, const N: usize, O> = ([Array; N], &'a Array, O);

/// [`adam_of_all`] for one leaf.
pub fn adam(arrays: [Array; 3], g: &Array, options: &AdamUpdate) -> [Array; 3] {
    single(adam_of_all(vec![(arrays, g, *options)]))
}

/// `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; x -= rate m^ / (sqrt(v^) + eps)` with `m^ = m / (1 - b1^t)` and likewise
/// `v^`, after the decays. Returns the new `[x, m, v]` of each leaf; buffers that nothing else holds are overwritten. Many leaves cost
/// the threads one start, not one each.
pub fn adam_of_all(leaves: Vec<Leaf<'_, 3, AdamUpdate>>) -> Vec<[Array; 3]> {
    match in_one_pass(&leaves) {
        Some(DType::F32) => adam_on::<f32>(leaves),
        Some(DType::F64) => adam_on::<f64>(leaves),
        _ if leaves.len() > 1 => one_by_one(leaves, adam_of_all),
        _ => leaves.into_iter().map(|(arrays, g, o)| adam_composed(arrays, g, &o)).collect(),
    }
}

/// [`momentum_of_all`] for one leaf.
pub fn momentum(arrays: [Array; 2], g: &Array, options: &MomentumUpdate) -> [Array; 2] {
    single(momentum_of_all(vec![(arrays, g, *options)]))
}

/// `g += decay x; m = momentum m + g; x -= rate (nesterov ? g + momentum m : m)`. Returns the new `[x, m]` of each leaf, as
/// [`adam_of_all`] does.
pub fn momentum_of_all(leaves: Vec<Leaf<'_, 2, MomentumUpdate>>) -> Vec<[Array; 2]> {
    match in_one_pass(&leaves) {
        Some(DType::F32) => momentum_on::<f32>(leaves),
        Some(DType::F64) => momentum_on::<f64>(leaves),
        _ if leaves.len() > 1 => one_by_one(leaves, momentum_of_all),
        _ => leaves.into_iter().map(|(arrays, g, o)| momentum_composed(arrays, g, &o)).collect(),
    }
}

/// [`descend_of_all`] for one leaf.
pub fn descend(x: Array, g: &Array, rate: f64, decay: f64) -> Array {
    let [x] = single(descend_of_all(vec![([x], g, DescentUpdate { rate, decay })]));
    x
}

/// `x -= rate (g + decay x)`. Returns the new `[x]` of each leaf, as [`adam_of_all`] does.
pub fn descend_of_all(leaves: Vec<Leaf<'_, 1, DescentUpdate>>) -> Vec<[Array; 1]> {
    match in_one_pass(&leaves) {
        Some(DType::F32) => descend_on::<f32>(leaves),
        Some(DType::F64) => descend_on::<f64>(leaves),
        _ if leaves.len() > 1 => one_by_one(leaves, descend_of_all),
        _ => leaves.into_iter().map(|([x], g, o)| [descend_composed(&x, g, o)]).collect(),
    }
}

/// `x + factor g` of each leaf `([g], x, factor)`, in the buffers of `g` if nothing else holds them.
pub fn displaced_of_all(leaves: Vec<Leaf<'_, 1, f64>>) -> Vec<[Array; 1]> {
    match in_one_pass(&leaves) {
        Some(DType::F32) => displaced_on::<f32>(leaves),
        Some(DType::F64) => displaced_on::<f64>(leaves),
        _ if leaves.len() > 1 => one_by_one(leaves, displaced_of_all),
        _ => leaves.into_iter().map(|([g], x, factor)| [x + g * factor]).collect(),
    }
}

fn single<T>(all: Vec<T>) -> T {
    all.into_iter().next().expect("one leaf")
}

/// Leaves of which some go another way than others.
fn one_by_one<'a, const N: usize, O>(
    leaves: Vec<Leaf<'a, N, O>>,
    update: fn(Vec<Leaf<'a, N, O>>) -> Vec<[Array; N]>,
) -> Vec<[Array; N]> {
    leaves.into_iter().flat_map(|leaf| update(vec![leaf])).collect()
}

/// The sum of `weights[i] * rows[i]` over vectors of one length and float dtype, added in this order; constant.
///
/// ```
/// use lisse_array::{Array, fused};
/// let (a, b) = (Array::from_slice(&[1.0f32, 2.0], &[2]), Array::from_slice(&[0.5f32, 0.0], &[2]));
/// assert_eq!(fused::combination(&[a, b], &[2.0, 4.0]).to_vec::<f32>(), [4.0, 4.0]);
/// ```
///
/// # Panics
/// Without rows, or if they do not fit the weights or each other.
pub fn combination(rows: &[Array], weights: &[f64]) -> Array {
    assert!(
        rows.len() == weights.len() && !rows.is_empty(),
        "combination: one weight for each row"
    );
    let fits = |row: &Array| row.shape() == rows[0].shape() && row.dtype() == rows[0].dtype();
    assert!(rows.iter().all(fits), "combination: the rows differ in shape or dtype");
    match (rows[0].dtype(), all_here(rows)) {
        (DType::F32, true) => combination_of::<f32>(rows, weights),
        (DType::F64, true) => combination_of::<f64>(rows, weights),
        _ => combination_composed(rows, weights),
    }
}

/// The inner product of each row with `x`: vectors of one length and float dtype. Sums of a few thousand terms are of that dtype, sums of
/// these of f64.
///
/// # Panics
/// If a row does not fit `x`.
pub fn products(rows: &[Array], x: &Array) -> Vec<f64> {
    let fits = |row: &Array| row.shape() == x.shape() && row.dtype() == x.dtype();
    assert!(x.rank() == 1 && rows.iter().all(fits), "products: vectors of one shape and dtype");
    match (x.dtype(), all_here(rows) && x.device() == Device::Cpu) {
        (DType::F32, true) => products_of::<f32>(rows, x),
        (DType::F64, true) => products_of::<f64>(rows, x),
        _ => rows.iter().map(|row| row.stop_gradient().matmul(x).item()).collect(),
    }
}

fn all_here(rows: &[Array]) -> bool {
    rows.iter().all(|row| row.device() == Device::Cpu)
}

fn products_of<T: cpu::Float>(rows: &[Array], x: &Array) -> Vec<f64> {
    let (tensors, x): (Vec<CpuTensor>, _) = (rows.iter().map(Array::to_cpu).collect(), x.to_cpu());
    cpu::products(&tensors.iter().map(elements::<T>).collect::<Vec<_>>(), elements::<T>(&x))
}

fn combination_of<T: cpu::Float>(rows: &[Array], weights: &[f64]) -> Array {
    let tensors: Vec<CpuTensor> = rows.iter().map(Array::to_cpu).collect();
    let slices: Vec<&[T]> = tensors.iter().map(elements::<T>).collect();
    let weights: Vec<T> = weights.iter().map(|&w| T::of(w)).collect();
    let mut sum = cpu::output::<T>(rows[0].len());
    cpu::combine(&slices, &weights, sum.room());
    // SAFETY: `combine` writes every element.
    Array::from_cpu(unsafe { sum.into_tensor(rows[0].shape().into(), rows[0].dtype()) })
}

/// The same in single operations: the reference, and what runs off the processor.
fn combination_composed(rows: &[Array], weights: &[f64]) -> Array {
    let mut terms = rows.iter().map(Array::stop_gradient).zip(weights);
    let (first, &w) = terms.next().expect("at least one row");
    terms.fold(first * w, |sum, (row, &w)| sum.add_scaled(w, &row))
}

/// Counts the elements of a float array whose magnitude is above `high`, and collects the magnitudes from `low` to `high`, in one pass on
/// this thread. The bounds are not negative and numbers of the array's dtype.
///
/// ```
/// use lisse_array::{Array, fused};
/// let found = fused::band(&Array::from_slice(&[5.0f32, -4.0, 3.0, -2.0, 1.0], &[5]), 2.0, 3.5);
/// assert_eq!((found.above, found.within), (2, vec![3.0, 2.0]));
/// ```
pub fn band(x: &Array, low: f64, high: f64) -> Band {
    let tensor = x.to_cpu();
    match x.dtype() {
        DType::F64 => cpu::band(elements::<f64>(&tensor), low, high),
        DType::F32 => cpu::band(elements::<f32>(&tensor), low, high),
        _ => band(&x.stop_gradient().cast(DType::F32), low, high),
    }
}

/// The magnitude of every `stride`-th element of a float array in row-major order.
pub fn magnitudes(x: &Array, stride: usize) -> Vec<f64> {
    let tensor = x.to_cpu();
    match x.dtype() {
        DType::F64 => cpu::sample(elements::<f64>(&tensor), stride),
        DType::F32 => cpu::sample(elements::<f32>(&tensor), stride),
        _ => magnitudes(&x.stop_gradient().cast(DType::F32), stride),
    }
}

/// The one dtype of leaves that all lie on the processor.
fn in_one_pass<const N: usize, O>(leaves: &[Leaf<'_, N, O>]) -> Option<DType> {
    let dtype = leaves.first()?.1.dtype();
    let here = |a: &Array| a.device() == Device::Cpu && a.dtype() == dtype;
    let fits = leaves.iter().all(|(arrays, g, _)| here(g) && arrays.iter().all(here));
    fits.then_some(dtype)
}

/// Runs `update` on row-major tensors of the leaves and returns what it has overwritten.
fn overwritten<T: cpu::Float, const N: usize, O, C: Copy>(
    leaves: Vec<Leaf<'_, N, O>>,
    numbers: impl Fn(O) -> C,
    update: impl Fn(Vec<cpu::Leaf<'_, T, N, C>>),
) -> Vec<[Array; N]> {
    let parts = leaves.into_iter().map(|(arrays, g, o)| (tensors(arrays), g.to_cpu(), numbers(o)));
    let (mut states, others): (Vec<[CpuTensor; N]>, Vec<_>) =
        parts.map(|(state, g, o)| (state, (g, o))).unzip();
    let leaves = states.iter_mut().zip(&others).map(|(state, (g, options))| cpu::Leaf {
        state: state.each_mut().map(cpu::writable::<T>),
        gradient: elements::<T>(g),
        options: *options,
    });
    update(leaves.collect());
    states.into_iter().map(|state| state.map(Array::from_cpu)).collect()
}

/// Row-major tensors to overwrite.
fn tensors<const N: usize>(arrays: [Array; N]) -> [CpuTensor; N] {
    arrays.map(|a| match a.into_parts().0 {
        Storage::Cpu(t) => cpu::row_major(t),
        #[cfg(feature = "gpu")]
        Storage::Gpu(_) => unreachable!("only arrays on the processor come here"),
    })
}

fn adam_on<T: cpu::Float>(leaves: Vec<Leaf<'_, 3, AdamUpdate>>) -> Vec<[Array; 3]> {
    let numbers = |o: AdamUpdate| {
        let correction = |beta: f64| T::of(1.0 - beta.powf(o.step as f64));
        cpu::Adam {
            rate: T::of(o.rate),
            beta1: T::of(o.beta1),
            beta2: T::of(o.beta2),
            eps: T::of(o.epsilon),
            decoupled_decay: T::of(o.decoupled_decay),
            decay: T::of(o.decay),
            correction1: correction(o.beta1),
            correction2: correction(o.beta2),
        }
    };
    overwritten(leaves, numbers, cpu::adam_update::<T>)
}

fn momentum_on<T: cpu::Float>(leaves: Vec<Leaf<'_, 2, MomentumUpdate>>) -> Vec<[Array; 2]> {
    let numbers = |o: MomentumUpdate| cpu::Momentum {
        rate: T::of(o.rate),
        keep: T::of(o.momentum),
        decay: T::of(o.decay),
        nesterov: o.nesterov,
    };
    overwritten(leaves, numbers, cpu::momentum_update::<T>)
}

fn descend_on<T: cpu::Float>(leaves: Vec<Leaf<'_, 1, DescentUpdate>>) -> Vec<[Array; 1]> {
    let numbers = |o: DescentUpdate| cpu::Descent { rate: T::of(o.rate), decay: T::of(o.decay) };
    overwritten(leaves, numbers, cpu::gradient_update::<T>)
}

fn displaced_on<T: cpu::Float>(leaves: Vec<Leaf<'_, 1, f64>>) -> Vec<[Array; 1]> {
    overwritten(leaves, T::of, cpu::displacement::<T>)
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

fn descend_composed(x: &Array, g: &Array, o: DescentUpdate) -> Array {
    x.add_scaled(-o.rate, &g.add_scaled(o.decay, x))
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
                assert_eq!(
                    one.to_f64_vec(),
                    descend_composed(&x, &g, DescentUpdate { rate: 0.1, decay }).to_f64_vec()
                );
            }
        }
    }

    /// Leaves of several lengths, enough elements for several blocks.
    fn leaves(dtype: DType) -> Vec<[Array; 4]> {
        let shapes: [&[usize]; 6] = [&[7, 5], &[], &[400, 500], &[0], &[131_072], &[3]];
        let draw = |name: &str, shape: &[usize]| Stream::new(3).child(name).normal(shape, dtype);
        let leaf = |shape: &&[usize]| {
            [draw("x", shape), draw("m", shape), draw("v", shape).square(), draw("g", shape)]
        };
        shapes.iter().map(leaf).collect()
    }

    fn bits<const N: usize>(all: &[[Array; N]]) -> Vec<u64> {
        all.iter().flatten().flat_map(Array::to_f64_vec).map(f64::to_bits).collect()
    }

    #[test]
    fn all_leaves_at_once_are_one_after_another_for_any_number_of_threads() {
        let adam_options = |i: usize| AdamUpdate {
            rate: 0.01 / (i + 1) as f64,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            decay: 0.1,
            decoupled_decay: 0.05,
            step: 3,
        };
        let momentum_options = |i: usize| MomentumUpdate {
            rate: 0.1,
            momentum: 0.9,
            decay: 0.01,
            nesterov: i.is_multiple_of(2),
        };
        let descent_options = |i: usize| DescentUpdate { rate: 0.1 * i as f64, decay: 0.3 };
        let threads =
            |count: usize| rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
        for dtypes in [[DType::F32; 2], [DType::F64; 2], [DType::F32, DType::F64], [DType::BF16; 2]]
        {
            let all: Vec<_> = dtypes.into_iter().flat_map(leaves).collect();
            let numbered = || all.iter().cloned().enumerate();
            let gradients: Vec<&Array> = all.iter().map(|leaf| &leaf[3]).collect();
            let g = |i: usize| gradients[i];
            // A buffer that something else holds is copied, not overwritten.
            let many = || {
                let a = numbered().map(|(i, [x, m, v, _])| ([x, m, v], g(i), adam_options(i)));
                let b = numbered().map(|(i, [x, m, _, _])| ([x, m], g(i), momentum_options(i)));
                let c = numbered().map(|(i, [x, _, _, _])| ([x], g(i), descent_options(i)));
                let d = numbered().map(|(i, [_, m, _, _])| ([m], g(i), 0.3 * i as f64));
                [
                    bits(&adam_of_all(a.collect())),
                    bits(&momentum_of_all(b.collect())),
                    bits(&descend_of_all(c.collect())),
                    bits(&displaced_of_all(d.collect())),
                ]
            };
            let one = [
                bits(
                    &numbered()
                        .map(|(i, [x, m, v, _])| adam([x, m, v], g(i), &adam_options(i)))
                        .collect::<Vec<_>>(),
                ),
                bits(
                    &numbered()
                        .map(|(i, [x, m, _, _])| momentum([x, m], g(i), &momentum_options(i)))
                        .collect::<Vec<_>>(),
                ),
                bits(
                    &numbered()
                        .map(|(i, [x, _, _, _])| [descend(x, g(i), 0.1 * i as f64, 0.3)])
                        .collect::<Vec<_>>(),
                ),
                bits(
                    &numbered()
                        .map(|(i, [_, m, _, _])| [g(i) + m * (0.3 * i as f64)])
                        .collect::<Vec<_>>(),
                ),
            ];
            for count in [1, 2, 5] {
                assert!(threads(count).install(many) == one, "{dtypes:?}, {count} threads");
            }
        }
        assert!(adam_of_all(Vec::new()).is_empty());
    }

    #[test]
    fn combinations_are_the_sum_one_by_one_bit_for_bit() {
        for (dtype, _) in DTYPES {
            for (count, len) in [(1, 5), (2, 5000), (5, 0), (6, 1), (9, 140_001), (12, 4096)] {
                let rows: Vec<Array> =
                    (0..count).map(|i| Stream::new(i).normal(&[len], dtype)).collect();
                let weights: Vec<f64> = (0..count).map(|i| 0.3 * i as f64 - 1.1).collect();
                let want = bits(&[[combination_composed(&rows, &weights)]]);
                for threads in [1, 2, 5] {
                    let pool =
                        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    assert_eq!(bits(&[[pool.install(|| combination(&rows, &weights))]]), want);
                }
            }
        }
    }

    #[test]
    fn products_are_inner_products_for_any_number_of_threads() {
        for (dtype, tolerance) in DTYPES {
            for (count, len) in [(0, 3), (1, 5), (3, 0), (5, 5000), (9, 140_001), (8, 4096)] {
                let draw = |i: u64| Stream::new(i).normal(&[len], dtype);
                let (rows, x): (Vec<Array>, _) = ((0..count).map(draw).collect(), draw(99));
                let on = |threads: usize| {
                    let pool =
                        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| products(&rows, &x))
                };
                let found = on(1);
                assert!(found == on(2) && found == on(5));
                for (row, found) in rows.iter().zip(found) {
                    let terms = row.cast(DType::F64) * x.cast(DType::F64);
                    let size = terms.abs().sum_all().item();
                    let error = (terms.sum_all().item() - found).abs();
                    assert!(error <= tolerance * size, "{dtype} {len}: {error}");
                }
            }
        }
    }
}
