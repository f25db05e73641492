//! Convolutions over one to three spatial axes, their transposes, and derivatives of any order.
//!
//! A convolution is linear in the input and in the weight. Its derivatives are two further maps, from output and weight
//! to the input's shape and from input and output to the weight's; the derivatives of each of the three are the other two.

use crate::cpu::{self, Geometry};
use crate::shape::Dims;
use crate::storage::elements;
use crate::tape::tracked;
use crate::{Array, DType};

/// How a kernel moves over its input: one entry per spatial axis (1 to 3).
///
/// ```
/// use lisse_array::ops::Conv;
/// let options = Conv::new(2).stride(2).padding(1);
/// assert_eq!(options.stride, [2, 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Conv {
    /// Step between neighbouring outputs, at least 1.
    pub stride: Vec<usize>,
    /// Zeros before and after each axis.
    pub padding: Vec<usize>,
    /// Distance between neighbouring taps of the kernel, at least 1.
    pub dilation: Vec<usize>,
    /// Groups into which input and output channels are divided; each output sees its own group only.
    pub groups: usize,
}

impl Conv {
    /// Stride 1, no padding, dilation 1, one group, over `axes` spatial axes.
    pub fn new(axes: usize) -> Conv {
        Conv { stride: vec![1; axes], padding: vec![0; axes], dilation: vec![1; axes], groups: 1 }
    }

    /// The same for an input of this rank: `rank - 2` spatial axes.
    pub fn default_for(rank: usize) -> Conv {
        Conv::new(rank.saturating_sub(2))
    }

    /// Sets the step along every axis.
    pub fn stride(mut self, stride: usize) -> Conv {
        self.stride.fill(stride);
        self
    }

    /// Sets the zeros at both ends of every axis.
    pub fn padding(mut self, padding: usize) -> Conv {
        self.padding.fill(padding);
        self
    }

    /// Sets the distance of taps along every axis.
    pub fn dilation(mut self, dilation: usize) -> Conv {
        self.dilation.fill(dilation);
        self
    }

    /// Sets the number of groups.
    pub fn groups(mut self, groups: usize) -> Conv {
        self.groups = groups;
        self
    }

    #[track_caller]
    fn check(&self, operation: &str, x: &Array, weight: &Array) {
        let (xs, ws) = (x.shape(), weight.shape());
        let context = || format!("input {xs:?}, weight {ws:?}, {self:?}");
        assert!(
            (3..=5).contains(&xs.len()) && ws.len() == xs.len(),
            "{operation}: needs [batch, channels, spatial..] and a weight of the same rank, with 1 to 3 spatial axes: {}",
            context()
        );
        assert!(
            x.dtype() == weight.dtype() && x.dtype().is_float(),
            "{operation}: needs floats of one dtype, got {} and {}: {}",
            x.dtype(),
            weight.dtype(),
            context()
        );
        let axes = xs.len() - 2;
        for (name, list) in
            [("stride", &self.stride), ("padding", &self.padding), ("dilation", &self.dilation)]
        {
            assert!(list.len() == axes, "{operation}: {name} needs {axes} entries: {}", context());
        }
        assert!(
            self.stride.iter().chain(&self.dilation).all(|&v| v > 0) && self.groups > 0,
            "{operation}: stride, dilation and groups must be at least 1: {}",
            context()
        );
        assert!(ws[2..].iter().all(|&k| k > 0), "{operation}: the kernel is empty: {}", context());
    }
}

/// A list of spatial values as the last of three, the others being `fill`.
fn lift(values: &[usize], fill: usize) -> [usize; 3] {
    let mut lifted = [fill; 3];
    lifted[3 - values.len()..].copy_from_slice(values);
    lifted
}

/// Shapes of one convolution as the caller wrote them, and lifted to three spatial axes.
#[derive(Clone)]
struct Frame {
    geometry: Geometry,
    axes: usize,
}

/// The three maps; each takes two operands of the shapes (input, weight, output) and makes the third.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Map {
    Output,
    Input,
    Weight,
}

impl Frame {
    /// `operand` 0, 1, 2 for input, weight, output.
    fn shape(&self, operand: usize) -> Dims {
        let lifted = &self.geometry.shapes()[operand];
        lifted[..2].iter().chain(&lifted[5 - self.axes..]).copied().collect()
    }
}

impl Array {
    /// Cross-correlation of `[batch, channels, spatial..]` with a weight `[filters, channels / groups, kernel..]`, over 1 to
    /// 3 spatial axes by rank: `y[n, o, p] = sum_{c, k} x[n, c, p stride + k dilation - padding] w[o, c, k]`. Zeros lie
    /// outside the input. An output axis has `floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1` positions.
    ///
    /// Half floats are computed in f32. Panics if the shapes and options do not fit.
    ///
    /// ```
    /// use lisse_array::{Array, DType, ops::Conv};
    /// let x = Array::ones(&[8, 3, 32, 32], DType::F32);
    /// let weight = Array::ones(&[16, 3, 3, 3], DType::F32);
    /// let y = x.conv(&weight, &Conv::new(2).padding(1).stride(2));
    /// assert_eq!(y.shape(), [8, 16, 16, 16]);
    /// ```
    #[track_caller]
    pub fn conv(&self, weight: &Array, options: &Conv) -> Array {
        options.check("conv", self, weight);
        let (xs, ws) = (self.shape(), weight.shape());
        assert!(
            xs[1] == ws[1] * options.groups && ws[0] % options.groups == 0,
            "conv: {} input channels need a weight [filters, {} / groups, ..] with filters a multiple of groups: \
             input {xs:?}, weight {ws:?}, {options:?}",
            xs[1],
            xs[1]
        );
        let output: Dims = (0..xs.len() - 2)
            .map(|i| {
                let padded = xs[i + 2] + 2 * options.padding[i];
                let reach = options.dilation[i] * (ws[i + 2] - 1) + 1;
                assert!(
                    padded >= reach,
                    "conv: the kernel reaches over {reach} elements, more than the padded axis {} of {padded}: \
                     input {xs:?}, weight {ws:?}, {options:?}",
                    i + 2
                );
                (padded - reach) / options.stride[i] + 1
            })
            .collect();
        let geometry = Geometry {
            batch: xs[0],
            groups: options.groups,
            channels: ws[1],
            filters: ws[0] / options.groups,
            input: lift(&xs[2..], 1),
            kernel: lift(&ws[2..], 1),
            output: lift(&output, 1),
            stride: lift(&options.stride, 1),
            padding: lift(&options.padding, 0),
            dilation: lift(&options.dilation, 1),
        };
        apply(Map::Output, &Frame { geometry, axes: xs.len() - 2 }, self, weight)
    }

    /// The transpose of [`conv`](Self::conv) in its input: `[batch, channels, spatial..]` with a weight
    /// `[channels, filters / groups, kernel..]` to `[batch, filters, ..]`, each axis of size
    /// `(size - 1) stride - 2 padding + dilation (kernel - 1) + 1 + output_padding`.
    ///
    /// `output_padding` (one entry per axis, below stride or dilation) chooses among the sizes that a strided convolution
    /// maps to the same output. Panics if the shapes and options do not fit.
    ///
    /// ```
    /// use lisse_array::{Array, DType, ops::Conv};
    /// let x = Array::ones(&[8, 16, 7, 7], DType::F32);
    /// let weight = Array::ones(&[16, 4, 3, 3], DType::F32);
    /// let y = x.conv_transpose(&weight, &Conv::new(2).padding(1).stride(2), &[1, 1]);
    /// assert_eq!(y.shape(), [8, 4, 14, 14]);
    /// ```
    #[track_caller]
    pub fn conv_transpose(
        &self,
        weight: &Array,
        options: &Conv,
        output_padding: &[usize],
    ) -> Array {
        options.check("conv_transpose", self, weight);
        let (ys, ws) = (self.shape(), weight.shape());
        assert!(
            ys[1] == ws[0] && ws[0] % options.groups == 0,
            "conv_transpose: {} input channels need a weight [{}, filters / groups, ..] and groups that divide them: \
             input {ys:?}, weight {ws:?}, {options:?}",
            ys[1],
            ys[1]
        );
        let axes = ys.len() - 2;
        let fits = output_padding.len() == axes
            && (0..axes).all(|i| output_padding[i] < options.stride[i].max(options.dilation[i]));
        assert!(
            fits,
            "conv_transpose: output_padding {output_padding:?} needs {axes} entries below the stride or the dilation: \
             input {ys:?}, weight {ws:?}, {options:?}"
        );
        let input: Dims = (0..axes)
            .map(|i| {
                let span = ys[i + 2].saturating_sub(1) * options.stride[i]
                    + options.dilation[i] * (ws[i + 2] - 1)
                    + 1
                    + output_padding[i];
                assert!(
                    span > 2 * options.padding[i],
                    "conv_transpose: padding {} leaves nothing of axis {}: input {ys:?}, weight {ws:?}, {options:?}",
                    options.padding[i],
                    i + 2
                );
                span - 2 * options.padding[i]
            })
            .collect();
        let geometry = Geometry {
            batch: ys[0],
            groups: options.groups,
            channels: ws[1],
            filters: ws[0] / options.groups,
            input: lift(&input, 1),
            kernel: lift(&ws[2..], 1),
            output: lift(&ys[2..], 1),
            stride: lift(&options.stride, 1),
            padding: lift(&options.padding, 0),
            dilation: lift(&options.dilation, 1),
        };
        apply(Map::Input, &Frame { geometry, axes }, self, weight)
    }
}

/// One of the three maps with its derivatives. Operands are in the order input, weight, output without the result.
fn apply(map: Map, frame: &Frame, a: &Array, b: &Array) -> Array {
    let value = compute(map, frame, a, b);
    if tracked(&[a, b]) == 0 {
        return value;
    }
    let (x, y) = (a.clone(), b.clone());
    let (f, g) = (frame.clone(), frame.clone());
    match map {
        // (input, weight) -> output
        Map::Output => value.derive2(
            a,
            move |ct, _| apply(Map::Input, &f, &ct, &y),
            b,
            move |ct, _| apply(Map::Weight, &g, &x, &ct),
        ),
        // (output, weight) -> input
        Map::Input => value.derive2(
            a,
            move |ct, _| apply(Map::Output, &f, &ct, &y),
            b,
            move |ct, _| apply(Map::Weight, &g, &ct, &x),
        ),
        // (input, output) -> weight
        Map::Weight => value.derive2(
            a,
            move |ct, _| apply(Map::Input, &f, &y, &ct),
            b,
            move |ct, _| apply(Map::Output, &g, &x, &ct),
        ),
    }
}

fn compute(map: Map, frame: &Frame, a: &Array, b: &Array) -> Array {
    let shape = frame.shape(match map {
        Map::Input => 0,
        Map::Weight => 1,
        Map::Output => 2,
    });
    if a.is_empty() || b.is_empty() || shape.contains(&0) {
        return a.device().with(|| Array::zeros(&shape, a.dtype()));
    }
    match a.dtype() {
        DType::F32 => run::<f32>(map, frame, a, b, &shape),
        DType::F64 => run::<f64>(map, frame, a, b, &shape),
        dtype => {
            let wide = |x: &Array| x.stop_gradient().cast(DType::F32);
            run::<f32>(map, frame, &wide(a), &wide(b), &shape).cast(dtype)
        }
    }
}

fn run<T: cpu::Real>(map: Map, frame: &Frame, a: &Array, b: &Array, shape: &[usize]) -> Array {
    #[cfg(feature = "gpu")]
    if let Some(value) = run_on_device(map, frame, a, b, shape) {
        return value;
    }
    let kernel = match map {
        Map::Output => cpu::conv::<T>,
        Map::Input => cpu::conv_input::<T>,
        Map::Weight => cpu::conv_weight::<T>,
    };
    let (left, right) = (a.to_cpu(), b.to_cpu());
    Array::from_cpu(kernel(elements(&left), elements(&right), &frame.geometry, shape))
        .to_device(a.device())
}

/// The map by the kernels of a GPU, if both operands are there.
#[cfg(feature = "gpu")]
fn run_on_device(map: Map, frame: &Frame, a: &Array, b: &Array, shape: &[usize]) -> Option<Array> {
    use crate::gpu::ConvMap;
    use crate::storage::Storage;
    let (Storage::Gpu(a), Storage::Gpu(b)) = (a.storage(), b.storage()) else { return None };
    let map = match map {
        Map::Output => ConvMap::Output,
        Map::Input => ConvMap::Input,
        Map::Weight => ConvMap::Weight,
    };
    crate::gpu::conv(map, frame.axes, &frame.geometry, [a, b], shape).map(Array::untracked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check, grad};

    fn sample(shape: &[usize], seed: usize) -> Array {
        let count: usize = shape.iter().product();
        let value = |i: usize| ((i * 7919 + seed * 104729) % 1009) as f64 / 504.5 - 1.0;
        Array::from_vec::<f64>((0..count).map(value).collect(), shape)
    }

    /// `conv` by its definition.
    fn naive(x: &Array, w: &Array, g: &Geometry) -> Vec<f64> {
        let (x, w) = (x.to_vec::<f64>(), w.to_vec::<f64>());
        let [od, oh, ow] = g.output;
        let mut y = vec![0.0; g.batch * g.groups * g.filters * od * oh * ow];
        for (flat, y) in y.iter_mut().enumerate() {
            let at = [flat / (oh * ow) % od, flat / ow % oh, flat % ow];
            let filter = flat / (od * oh * ow) % (g.groups * g.filters);
            let image = flat / (od * oh * ow * g.groups * g.filters);
            for tap in 0..g.channels * g.kernel.iter().product::<usize>() {
                let k = [
                    tap / (g.kernel[1] * g.kernel[2]) % g.kernel[0],
                    tap / g.kernel[2] % g.kernel[1],
                    tap % g.kernel[2],
                ];
                let channel = tap / g.kernel.iter().product::<usize>();
                let i: [isize; 3] = std::array::from_fn(|a| {
                    (at[a] * g.stride[a] + k[a] * g.dilation[a]) as isize - g.padding[a] as isize
                });
                if (0..3).all(|a| (0..g.input[a] as isize).contains(&i[a])) {
                    let plane =
                        image * g.groups * g.channels + filter / g.filters * g.channels + channel;
                    let position =
                        i.iter().zip(&g.input).fold(plane, |p, (&i, &size)| p * size + i as usize);
                    *y += x[position]
                        * w[filter * g.channels * g.kernel.iter().product::<usize>() + tap];
                }
            }
        }
        y
    }

    fn close(a: &Array, b: &[f64]) {
        for (a, b) in a.to_f64_vec().iter().zip(b) {
            assert!((a - b).abs() <= 1e-10 * (1.0 + b.abs()), "{a} is not {b}");
        }
    }

    /// Input, weight and options that exercise every branch of the kernels.
    fn cases() -> Vec<(Vec<usize>, Vec<usize>, Conv)> {
        let mut cases = Vec::new();
        for groups in [1, 3] {
            for stride in 1..4 {
                for padding in 0..3 {
                    for dilation in 1..3 {
                        let options = Conv::new(2)
                            .stride(stride)
                            .padding(padding)
                            .dilation(dilation)
                            .groups(groups);
                        cases.push((
                            vec![2, 3 * groups, 7, 9],
                            vec![groups * (stride + padding), 3, 3, 2],
                            options,
                        ));
                    }
                }
            }
        }
        cases.push((vec![2, 4, 19], vec![7, 4, 5], Conv::new(1).stride(2).padding(3)));
        cases.push((vec![1, 2, 700], vec![20, 2, 3], Conv::new(1)));
        cases.push((vec![3, 5, 1, 1], vec![9, 5, 1, 1], Conv::new(2)));
        cases.push((vec![2, 40, 5, 5], vec![8, 40, 1, 1], Conv::new(2)));
        cases.push((vec![20, 2, 4, 5], vec![17, 2, 3, 3], Conv::new(2).padding(1)));
        cases.push((vec![2, 2, 4, 5, 6], vec![6, 1, 2, 3, 2], Conv::new(3).padding(1).groups(2)));
        cases.push((
            vec![1, 2, 5, 5, 5],
            vec![3, 2, 3, 3, 3],
            Conv::new(3).stride(2).padding(2).dilation(2),
        ));
        let uneven =
            Conv { stride: vec![1, 3], padding: vec![2, 0], dilation: vec![2, 1], groups: 2 };
        cases.push((vec![1, 4, 8, 8], vec![2, 2, 2, 2], uneven));
        cases
    }

    #[test]
    fn the_three_maps_agree_with_loops_and_are_transposes() {
        for (xs, ws, options) in cases() {
            let (x, w) = (sample(&xs, 1), sample(&ws, 2));
            let y = x.conv(&w, &options);
            let geometry = Geometry {
                batch: xs[0],
                groups: options.groups,
                channels: ws[1],
                filters: ws[0] / options.groups,
                input: lift(&xs[2..], 1),
                kernel: lift(&ws[2..], 1),
                output: lift(&y.shape()[2..], 1),
                stride: lift(&options.stride, 1),
                padding: lift(&options.padding, 0),
                dilation: lift(&options.dilation, 1),
            };
            close(&y, &naive(&x, &w, &geometry));
            // <ct, conv(u, w)> = <conv_input(ct, w), u> for every u says that all elements of the transpose are right.
            let ct = sample(y.shape(), 3);
            let (dx, dw) = grad(|(x, w): &(Array, Array)| (x.conv(w, &options) * &ct).sum_all())(
                &(x.clone(), w.clone()),
            );
            let rows = |a: &Array, basis: &dyn Fn(&Array) -> Array| -> Vec<f64> {
                (0..a.len())
                    .map(|i| {
                        let mut unit = vec![0.0; a.len()];
                        unit[i] = 1.0;
                        (basis(&Array::from_vec(unit, a.shape())) * &ct).sum_all().item()
                    })
                    .collect()
            };
            if x.len() < 400 {
                close(&dx, &rows(&x, &|u| u.conv(&w, &options)));
            }
            if w.len() < 400 {
                close(&dw, &rows(&w, &|u| x.conv(u, &options)));
            }
        }
    }

    #[test]
    fn derivatives_to_third_order() {
        let options = Conv::new(2).stride(2).padding(1).groups(2);
        let pair = (sample(&[1, 2, 4, 3], 1), sample(&[4, 1, 2, 3], 2));
        check::gradient(|(x, w): &(Array, Array)| x.conv(w, &options).sin(), &pair, 3).unwrap();
        let pair = (sample(&[1, 4, 2, 2], 1), sample(&[4, 1, 2, 3], 2));
        let transposed = |(x, w): &(Array, Array)| x.conv_transpose(w, &options, &[1, 0]).sin();
        check::gradient(transposed, &pair, 3).unwrap();
        let pair = (sample(&[2, 1, 5], 1), sample(&[2, 1, 2], 2));
        check::gradient(
            |(x, w): &(Array, Array)| x.conv(w, &Conv::new(1).dilation(2)).exp(),
            &pair,
            3,
        )
        .unwrap();
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let (x, w) = (sample(&[9, 6, 11, 11], 1), sample(&[10, 3, 3, 3], 2));
        let options = Conv::new(2).padding(1).groups(2);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let loss = |(x, w): &(Array, Array)| x.conv(w, &options).sin().sum_all();
            let (dx, dw) = pool.install(|| grad(loss)(&(x.clone(), w.clone())));
            (dx.to_vec::<f64>(), dw.to_vec::<f64>())
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5));
    }

    #[test]
    #[should_panic(expected = "input [1, 3, 8, 8], weight [4, 2, 3, 3], Conv { stride: [1, 1]")]
    fn channels_that_differ() {
        sample(&[1, 3, 8, 8], 1).conv(&sample(&[4, 2, 3, 3], 2), &Conv::new(2));
    }

    #[test]
    fn an_empty_batch() {
        let y = sample(&[0, 3, 8, 8], 1).conv(&sample(&[4, 3, 3, 3], 2), &Conv::new(2));
        assert_eq!(y.shape(), [0, 4, 6, 6]);
    }
}
