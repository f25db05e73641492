//! Convolutions without patch matrices.
//!
//! The operand that slides is copied once, image by image, into planes with room for the padding and split by the phase
//! of the stride ([`Planes`]). In these planes the elements that one tap of the kernel meets over neighbouring output
//! positions lie next to each other, so a register-blocked product reads its "patch matrix" from there by a table of
//! offsets, one per tap ([`gather`]). The input's derivative is the same computation for each phase of the stride with
//! the taps reversed; the weight's derivative ([`weight`]) sums over output positions instead of over taps.

mod gather;
mod real;
mod weight;

pub(crate) use real::Real;

use super::tensor::CpuTensor;
use crate::shape::Dims;
use crate::storage::raw_tensor;
use gather::Pass;

/// Sizes of a convolution, lifted to three spatial axes by leading axes of size one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub groups: usize,
    /// Input channels of one group.
    pub channels: usize,
    /// Output channels of one group.
    pub filters: usize,
    pub input: [usize; 3],
    pub kernel: [usize; 3],
    pub output: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    pub dilation: [usize; 3],
}

impl Geometry {
    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Elements of a spatial plane of the output.
    fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Shapes `[batch, channels, ...]` of the input, the weight and the output, with three spatial axes each.
    pub fn shapes(&self) -> [Dims; 3] {
        let shape = |a: usize, b: usize, rest: &[usize; 3]| {
            [a, b, rest[0], rest[1], rest[2]].iter().copied().collect()
        };
        [
            shape(self.batch, self.groups * self.channels, &self.input),
            shape(self.groups * self.filters, self.channels, &self.kernel),
            shape(self.batch, self.groups * self.filters, &self.output),
        ]
    }

    /// Planes of the input in which each tap meets a contiguous run of elements.
    fn input_planes(&self) -> Planes {
        Planes {
            extent: self.input,
            before: self.padding,
            phases: self.stride,
            size: std::array::from_fn(|i| {
                let reach = (self.output[i] - 1) * self.stride[i]
                    + (self.kernel[i] - 1) * self.dilation[i]
                    + 1;
                reach.div_ceil(self.stride[i])
            }),
        }
    }

    /// Where each tap `(channel, depth, row, column)` of the kernel begins in the input's planes.
    fn input_offsets(&self, planes: &Planes, channels: usize) -> Vec<usize> {
        let along = |axis: usize, k: usize| {
            let reach = k * self.dilation[axis];
            (reach % self.stride[axis], reach / self.stride[axis])
        };
        let mut offsets = Vec::with_capacity(channels * self.taps());
        for channel in 0..channels {
            for kd in 0..self.kernel[0] {
                for kh in 0..self.kernel[1] {
                    for kw in 0..self.kernel[2] {
                        let at = [along(0, kd), along(1, kh), along(2, kw)];
                        let position = planes.position(at.map(|a| a.0), at.map(|a| a.1));
                        offsets.push(channel * planes.channel() + position);
                    }
                }
            }
        }
        offsets
    }
}

/// How the channels of an operand are laid out: a margin before each axis, and one plane per phase of the stride.
struct Planes {
    extent: [usize; 3],
    before: [usize; 3],
    phases: [usize; 3],
    /// Size of one phase's plane.
    size: [usize; 3],
}

impl Planes {
    fn plane(&self) -> usize {
        self.size.iter().product()
    }

    /// Elements of one channel, all phases.
    fn channel(&self) -> usize {
        self.phases.iter().product::<usize>() * self.plane()
    }

    fn position(&self, phase: [usize; 3], at: [usize; 3]) -> usize {
        let [_, ph, pw] = self.phases;
        let [_, h, w] = self.size;
        ((phase[0] * ph + phase[1]) * pw + phase[2]) * self.plane()
            + (at[0] * h + at[1]) * w
            + at[2]
    }

    /// Copies `count` channels of one image into the planes; margins are left as they are.
    fn fill<T: Real>(&self, source: &[T], count: usize, planes: &mut [T]) {
        let [depth, height, width] = self.extent;
        let row = |axis: usize, i: usize| {
            let j = i + self.before[axis];
            (j % self.phases[axis], j / self.phases[axis])
        };
        for channel in 0..count {
            let target = &mut planes[channel * self.channel()..][..self.channel()];
            for d in 0..depth {
                let (pd, qd) = row(0, d);
                if qd >= self.size[0] {
                    continue;
                }
                for h in 0..height {
                    let (ph, qh) = row(1, h);
                    if qh >= self.size[1] {
                        continue;
                    }
                    let from = &source[((channel * depth + d) * height + h) * width..][..width];
                    for pw in 0..self.phases[2] {
                        let start = self.position([pd, ph, pw], [qd, qh, 0]);
                        self.fill_row(from, pw, &mut target[start..start + self.size[2]]);
                    }
                }
            }
        }
    }

    fn fill_row<T: Real>(&self, from: &[T], phase: usize, to: &mut [T]) {
        let (step, before) = (self.phases[2], self.before[2]);
        if step == 1 {
            let start = before.min(to.len());
            let count = from.len().min(to.len() - start);
            to[start..start + count].copy_from_slice(&from[..count]);
            return;
        }
        let first = (phase + step - before % step) % step;
        let start = (first + before) / step;
        if start < to.len() && first < from.len() {
            for (to, from) in to[start..].iter_mut().zip(from[first..].iter().step_by(step)) {
                *to = *from;
            }
        }
    }
}

/// `y[n, o] = sum_c x[n, c] * w[o, c]` (cross-correlation), row-major operands of the shapes in
/// [`Geometry::shapes`]; the result has the form `shape`.
pub(crate) fn conv<T: Real>(x: &[T], w: &[T], geometry: &Geometry, shape: &[usize]) -> CpuTensor {
    let planes = geometry.input_planes();
    let pass = Pass::new(
        &planes,
        geometry.input_offsets(&planes, geometry.channels),
        gather::Target {
            rows: geometry.filters,
            grid: geometry.output,
            extent: geometry.output,
            start: [0; 3],
            step: [1; 3],
        },
        geometry.groups,
        |group, row, k| {
            let taps = geometry.channels * geometry.taps();
            w[(group * geometry.filters + row) * taps + k]
        },
    );
    gather::run(x, &planes, &[pass], geometry.batch, geometry.groups, geometry.channels, shape)
}

/// The transpose of [`conv`] in its first operand: from `y` to the shape of `x`.
pub(crate) fn conv_input<T: Real>(
    y: &[T],
    w: &[T],
    geometry: &Geometry,
    shape: &[usize],
) -> CpuTensor {
    let axes: [Vec<AxisPhase>; 3] = std::array::from_fn(|axis| axis_phases(geometry, axis));
    let margin: [isize; 3] =
        std::array::from_fn(|i| axes[i].iter().map(AxisPhase::margin).max().unwrap_or(0).max(0));
    let planes = Planes {
        extent: geometry.output,
        before: margin.map(|m| m as usize),
        phases: [1; 3],
        size: std::array::from_fn(|i| {
            let end = axes[i].iter().map(|p| p.first + p.count as isize).max().unwrap_or(0);
            (margin[i] + end.max(geometry.output[i] as isize)) as usize
        }),
    };
    let mut passes = Vec::new();
    for d in &axes[0] {
        for h in &axes[1] {
            for w_axis in &axes[2] {
                passes.push(input_pass(w, geometry, &planes, [d, h, w_axis]));
            }
        }
    }
    gather::run(y, &planes, &passes, geometry.batch, geometry.groups, geometry.filters, shape)
}

/// The input positions of one phase of the stride along one axis, and the taps that reach them.
struct AxisPhase {
    /// Tap and how many outputs before the position's own it looks.
    taps: Vec<(usize, isize)>,
    /// Output that tap 0 would align with at the first position.
    first: isize,
    count: usize,
    /// First input position.
    start: usize,
}

impl AxisPhase {
    /// Room needed before the first output.
    fn margin(&self) -> isize {
        self.taps.iter().map(|&(_, back)| back - self.first).max().unwrap_or(0)
    }
}

/// Input `i` meets output `o` through tap `k` where `i + padding = o stride + k dilation`.
fn axis_phases(geometry: &Geometry, axis: usize) -> Vec<AxisPhase> {
    let (stride, dilation) = (geometry.stride[axis], geometry.dilation[axis]);
    let (padding, size) = (geometry.padding[axis] as isize, geometry.input[axis]);
    (0..stride)
        .map(|phase| {
            let taps = (0..geometry.kernel[axis])
                .filter(|k| k * dilation % stride == phase)
                .map(|k| (k, ((k * dilation - phase) / stride) as isize))
                .collect();
            let first =
                (padding - phase as isize + stride as isize - 1).div_euclid(stride as isize);
            let start = (first * stride as isize + phase as isize - padding) as usize;
            AxisPhase { taps, first, count: size.saturating_sub(start).div_ceil(stride), start }
        })
        .filter(|phase| phase.count > 0)
        .collect()
}

fn input_pass<T: Real>(
    w: &[T],
    geometry: &Geometry,
    planes: &Planes,
    axes: [&AxisPhase; 3],
) -> Pass<T> {
    let [_, kernel_h, kernel_w] = geometry.kernel;
    let mut offsets = Vec::new();
    let mut taps = Vec::new();
    for filter in 0..geometry.filters {
        for &(kd, back_d) in &axes[0].taps {
            for &(kh, back_h) in &axes[1].taps {
                for &(kw, back_w) in &axes[2].taps {
                    let back = [back_d, back_h, back_w];
                    let at = std::array::from_fn(|i| {
                        (planes.before[i] as isize + axes[i].first - back[i]) as usize
                    });
                    offsets.push(filter * planes.channel() + planes.position([0; 3], at));
                    taps.push((filter, (kd * kernel_h + kh) * kernel_w + kw));
                }
            }
        }
    }
    let target = gather::Target {
        rows: geometry.channels,
        grid: axes.map(|a| a.count),
        extent: geometry.input,
        start: axes.map(|a| a.start),
        step: geometry.stride,
    };
    Pass::new(planes, offsets, target, geometry.groups, |group, row, k| {
        let (filter, tap) = taps[k];
        w[((group * geometry.filters + filter) * geometry.channels + row) * geometry.taps() + tap]
    })
}

/// The transpose of [`conv`] in its second operand: from `x` and `y` to the shape of the weight.
pub(crate) fn conv_weight<T: Real>(
    x: &[T],
    y: &[T],
    geometry: &Geometry,
    shape: &[usize],
) -> CpuTensor {
    raw_tensor(weight::run(x, y, geometry), shape, T::DTYPE)
}
