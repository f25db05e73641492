//! Inverse products of a fixed set of gradients.

use lisse_array::ops::Pad;
use lisse_array::{Array, DType, Device};
use serde::{Deserialize, Serialize};

use super::{Error, check_damping};

/// Rows that the recursion takes at once: enough for matrix products to pay, few enough for the small factor not to.
const PANEL: usize = 32;

/// The inverse of `F = lambda I + (1/m) sum_i g_i g_i'` for gradients that are all there from the start.
///
/// The recursion of Sherman and Morrison in product form,
///
/// `h_i = g_i / lambda - sum_{j<i} (h_j'g_i / c_j) h_j`, `c_i = m + g_i'h_i`,
///
/// costs `O(d m^2)` once and keeps `h` in place of `G`; then `F^-1 x = x / lambda - sum_j (h_j'x / c_j) h_j` in `O(d m)`.
///
/// With blocks of `b` coordinates `F` is taken to be block diagonal: consecutive runs of `b` in the order of the vector, the last
/// one shorter. Blocks of 1 give the diagonal Fisher matrix, blocks of `d` the whole.
///
/// The rows come in panels: what all earlier rows contribute is subtracted by matrix products, and within a panel the recursion is the
/// factor `L D L'` of `m I + G X'` (`X` what the subtraction left), with `h = L^-1 X` and `c = D`.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::mfac::StaticFisher;
/// let gradients = Array::from_slice(&[1.0f64, 2.0, 0.0, 0.0, 1.0, -1.0], &[2, 3]);
/// let fisher = StaticFisher::new(&gradients, 0.5, None)?;
/// let product = fisher.ihvp(&Array::from_slice(&[1.0f64, 1.0, 1.0], &[3]))?.to_vec::<f64>();
/// assert!((product[0] - 5.0 / 7.0).abs() < 1e-12);
/// # Ok::<(), lisse_optim::mfac::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StaticFisher {
    damping: f64,
    capacity: usize,
    len: usize,
    block: usize,
    panels: Vec<Panel>,
}

/// Some rows of the recursion, for every block.
#[derive(Clone, Debug)]
struct Panel {
    /// `h`: `[blocks, rows, block]`.
    products: Array,
    /// `c`: `[blocks, rows]`, in f64 on the processor.
    denominators: Array,
}

/// What makes up for several removed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// The sum of what each removal alone would do, as the authors do: cheap, and not the optimum for more than one weight.
    Sum,
    /// The optimum for all weights at once; a system of as many unknowns as weights per block.
    Joint,
}

impl StaticFisher {
    /// The inverse for the rows of `gradients`, `[m, d]`, in blocks of `block` coordinates; `None` for the whole matrix.
    ///
    /// # Errors
    /// A damping or block size of zero, no rows, numbers that are not finite, a damping below rounding.
    pub fn new(
        gradients: &Array,
        damping: f64,
        block: Option<usize>,
    ) -> Result<StaticFisher, Error> {
        let &[rows, len] = gradients.shape() else {
            return Err(misfit("gradients", gradients, "one row per gradient: [m, d]".into()));
        };
        let mut fisher = StaticFisher::with_capacity(len, rows, damping, block)?;
        fisher.append(gradients)?;
        Ok(fisher)
    }

    /// The inverse before any of its `capacity` gradients of `len` coordinates is there, `I / lambda`, for gradients that come page
    /// by page.
    ///
    /// # Errors
    /// A damping, block size, capacity or length of zero.
    pub fn with_capacity(
        len: usize,
        capacity: usize,
        damping: f64,
        block: Option<usize>,
    ) -> Result<StaticFisher, Error> {
        check_damping(damping)?;
        for (name, number) in [("len", Some(len)), ("capacity", Some(capacity)), ("block", block)] {
            if number == Some(0) {
                return Err(Error::OutOfRange { name, found: 0.0, expected: "at least 1" });
            }
        }
        let block = block.unwrap_or(len).min(len);
        Ok(StaticFisher { damping, capacity, len, block, panels: Vec::new() })
    }

    /// Adds a page of gradients, `[rows, d]`. The result does not depend on how rows are split into pages.
    ///
    /// # Errors
    /// More rows than the capacity, rows of another length, numbers that are not finite, a damping below rounding.
    pub fn append(&mut self, page: &Array) -> Result<(), Error> {
        let room = self.capacity - self.rows();
        if page.rank() != 2 || page.dim(1) != self.len || page.dim(0) > room {
            let expected =
                format!("at most {room} more gradients fit, of {} coordinates each", self.len);
            return Err(misfit("gradients", page, expected));
        }
        let blocks = self.split(page);
        for start in (0..page.dim(0)).step_by(PANEL) {
            let rows = PANEL.min(page.dim(0) - start);
            let panel = self.panel(&blocks.narrow(1, start, rows))?;
            self.panels.push(panel);
        }
        Ok(())
    }

    /// The recursion over some further rows, `[blocks, rows, block]`.
    fn panel(&self, gradients: &Array) -> Result<Panel, Error> {
        let rest = self.apply(gradients);
        let moments = small(&gradients.matmul(&rest.t()));
        let rows = moments.dim(-1);
        let identity = on_processor(|| Array::eye(rows, DType::F64));
        let root = (moments + identity * self.capacity as f64)
            .cholesky()
            .map_err(|problem| Error::of_factor("gradients", self.damping, problem))?;
        let pivots = root.diagonal(-2, -1);
        let unit = like(&(root / pivots.unsqueeze(1)), &rest);
        let products = unit
            .solve_triangular(&rest, false)
            .map_err(|problem| Error::of_factor("gradients", self.damping, problem))?;
        Ok(Panel { products, denominators: pivots.square() })
    }

    /// Gradients that are there.
    pub fn rows(&self) -> usize {
        self.panels.iter().map(|panel| panel.products.dim(1)).sum()
    }

    /// Coordinates.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: there is at least one coordinate.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// `c` of the recursion for every block: `[blocks, rows]`.
    pub fn denominators(&self) -> Array {
        on_processor(|| match &self.panels[..] {
            [] => Array::zeros(&[self.blocks(), 0], DType::F64),
            panels => Array::cat(&panels.iter().map(|p| &p.denominators).collect::<Vec<_>>(), 1),
        })
    }

    /// `F^-1 x` for one vector `[d]` or one per row, `[k, d]`.
    ///
    /// # Errors
    /// Another shape.
    pub fn ihvp(&self, x: &Array) -> Result<Array, Error> {
        if !(1..=2).contains(&x.rank()) || x.dim(-1) != self.len {
            return Err(misfit("x", x, format!("[{0}] or [k, {0}]", self.len)));
        }
        let shape: Vec<isize> = x.shape().iter().map(|&n| n as isize).collect();
        let rows = x.reshape(&[-1, self.len as isize]);
        Ok(self.join(&self.apply(&self.split(&rows))).reshape(&shape))
    }

    /// `F^-1` on rows of every block.
    fn apply(&self, x: &Array) -> Array {
        self.panels.iter().fold(x / self.damping, |out, panel| {
            let weights = x.matmul(&panel.products.t()) / like(&panel.denominators, x).unsqueeze(1);
            out - weights.matmul(&panel.products)
        })
    }

    /// The diagonal of `F^-1`, `[d]`, kept above zero against rounding.
    pub fn diagonal(&self) -> Array {
        let most = 1.0 / self.damping;
        let Some(first) = self.panels.first() else {
            return on_processor(|| Array::full(&[self.len], most, DType::F64));
        };
        let start = first.products.narrow(1, 0, 1).full_like(most);
        let whole = self.panels.iter().fold(start, |out, panel| {
            let weights = like(&panel.denominators.recip(), &out).unsqueeze(1);
            out - weights.matmul(&panel.products.square())
        });
        self.join(&whole).squeeze(0).clamp(1e-12 * most, most)
    }

    /// One entry of `F^-1`; zero across blocks.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn entry(&self, a: usize, b: usize) -> f64 {
        assert!(a < self.len && b < self.len, "entry ({a}, {b}) of {} coordinates", self.len);
        if a / self.block != b / self.block {
            return 0.0;
        }
        let place = a / self.block;
        let inner = self.inner(place, &[(a % self.block) as i64, (b % self.block) as i64]);
        inner.index(0, 0).index(0, 1).item()
    }

    /// The rows and columns `within` (counted inside the block) of a block of `F^-1`, in f64 on the processor.
    fn inner(&self, block: usize, within: &[i64]) -> Array {
        let index = Array::from_slice(within, &[within.len()]);
        let same = index.unsqueeze(1).equal(&index.unsqueeze(0)).cast(DType::F64);
        self.panels.iter().fold(same / self.damping, |out, panel| {
            let products = small(&panel.products.index(0, block).index_select(1, &index));
            let weighted = &products / panel.denominators.index(0, block).unsqueeze(1);
            out - products.t().matmul(&weighted)
        })
    }

    /// What removing each weight of `w`, `[d]`, alone adds to the loss, by the quadratic model at its minimum:
    /// `w_q^2 / (2 [F^-1]_qq)`.
    pub fn saliencies(&self, w: &Array) -> Array {
        w.square() / (self.diagonal() * 2.0)
    }

    /// The change of all weights that sets those at `indices` to zero at the least loss. With [`Removal::Sum`] and more than one
    /// index they come out near zero only; set them to zero after.
    ///
    /// # Errors
    /// Weights of another shape; with [`Removal::Joint`] a damping below rounding.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn removal(&self, w: &Array, indices: &[usize], rule: Removal) -> Result<Array, Error> {
        if w.shape() != [self.len] {
            return Err(misfit("weights", w, format!("[{}]", self.len)));
        }
        let values = w.to_f64_vec();
        let mut target = vec![0.0; self.len];
        match rule {
            Removal::Sum => {
                let diagonal = self.diagonal().to_f64_vec();
                for &q in indices {
                    target[q] = -values[q] / diagonal[q];
                }
            }
            Removal::Joint => self.joint(&values, indices, &mut target)?,
        }
        let target = on_processor(|| Array::from_vec(target, &[self.len]));
        self.ihvp(&like(&target, w))
    }

    /// `target_Q = -([F^-1]_QQ)^-1 w_Q`, block by block.
    fn joint(&self, w: &[f64], indices: &[usize], target: &mut [f64]) -> Result<(), Error> {
        let mut sorted = indices.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        for same in sorted.chunk_by(|a, b| a / self.block == b / self.block) {
            let within: Vec<i64> = same.iter().map(|&q| (q % self.block) as i64).collect();
            let solution = on_processor(|| {
                let right: Vec<f64> = same.iter().map(|&q| -w[q]).collect();
                let factor = self.inner(same[0] / self.block, &within).cholesky()?;
                Ok(factor.cholesky_solve(&Array::from_vec(right, &[same.len()])))
            })
            .map_err(|problem| Error::of_factor("gradients", self.damping, problem))?;
            for (&q, value) in same.iter().zip(solution.to_vec::<f64>()) {
                target[q] = value;
            }
        }
        Ok(())
    }

    fn blocks(&self) -> usize {
        self.len.div_ceil(self.block)
    }

    /// `[k, d]` as `[blocks, k, block]`. The last block is filled up with zeros, which no gradient reaches.
    fn split(&self, rows: &Array) -> Array {
        let missing = self.blocks() * self.block - self.len;
        let full = rows.pad(&[(0, 0), (0, missing)], Pad::Constant(0.0));
        full.reshape(&[rows.dim(0) as isize, self.blocks() as isize, self.block as isize])
            .permute(&[1, 0, 2])
    }

    /// The reverse of [`split`](Self::split).
    fn join(&self, blocks: &Array) -> Array {
        let rows = blocks.dim(1) as isize;
        blocks.permute(&[1, 0, 2]).reshape(&[rows, -1]).narrow(1, 0, self.len)
    }
}

fn misfit(name: &'static str, found: &Array, expected: String) -> Error {
    Error::Shape { name, found: found.shape().to_vec(), expected }
}

/// For the small algebra: f64 on the processor, which not every device holds.
fn small(array: &Array) -> Array {
    array.to_device(Device::Cpu).cast(DType::F64)
}

/// In the dtype and on the device of another.
fn like(array: &Array, other: &Array) -> Array {
    array.cast(other.dtype()).to_device(other.device())
}

fn on_processor<T>(work: impl FnOnce() -> T) -> T {
    Device::Cpu.with(work)
}
