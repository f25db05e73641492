//! The newest gradients, and inverse products with them.

use lisse_array::{Array, DType, Device};

use super::passes::{combination, products};
use super::{Coefficients, Error, check_damping};

/// The inverse of `F = lambda I + (1/m) G'G` for the newest `m` gradients, the rows of `G`.
///
/// Kept are the rows and `K = G G'` in f64. A new gradient takes the oldest one's place and costs one pass over the rows, `G g`; a product
/// costs a factor of the small matrix `C = K + m lambda I` and one more pass or two:
///
/// - of the gradient that was just put in, `F^-1 g_j = m G' C^-1 e_j` ([`precondition`](Self::precondition)): no difference of nearly
///   equal vectors, so that f32 rows are enough for any damping,
/// - of any other vector, `F^-1 x = (x - G' C^-1 G x) / lambda` ([`ihvp`](Self::ihvp)), which loses digits as the damping falls.
///
/// While fewer than `m` gradients are there the missing ones count as zero; `F` then weighs those that are there too little, and the first
/// steps are long. [`effective`](Self::effective) counts only those that are there.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::mfac::SlidingWindow;
/// let mut window = SlidingWindow::new(4, 0.5)?;
/// // One gradient in a window of four: g / (lambda + |g|^2 / 4).
/// let p = window.precondition(&Array::from_slice(&[1.0f64, 2.0, 2.0], &[3]))?.to_vec::<f64>();
/// assert!((p[0] - 1.0 / 2.75).abs() < 1e-12);
/// # Ok::<(), lisse_optim::mfac::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SlidingWindow {
    capacity: usize,
    damping: f64,
    effective: bool,
    rows: Vec<Array>,
    /// `K`, row-major over all `capacity` rows.
    gram: Vec<f64>,
    next: usize,
}

/// How often the damping is raised tenfold before giving up, where rounding has made the small matrix indefinite.
const RAISES: i32 = 8;

impl SlidingWindow {
    /// An empty window for `capacity` gradients.
    ///
    /// # Errors
    /// A capacity or damping of zero.
    pub fn new(capacity: usize, damping: f64) -> Result<SlidingWindow, Error> {
        let gram = vec![0.0; capacity * capacity];
        SlidingWindow::with_rows(capacity, damping, Vec::new(), gram, 0)
    }

    /// A window as it stood: its rows by place, [`gram`](Self::gram) and [`next`](Self::next).
    ///
    /// # Errors
    /// A capacity or damping of zero, parts that do not fit each other.
    pub fn with_rows(
        capacity: usize,
        damping: f64,
        rows: Vec<Array>,
        gram: Vec<f64>,
        next: usize,
    ) -> Result<SlidingWindow, Error> {
        check_damping(damping)?;
        if capacity == 0 {
            return Err(Error::OutOfRange { name: "window", found: 0.0, expected: "at least 1" });
        }
        let follows = next < capacity && (rows.len() == capacity || rows.len() == next);
        if !follows || gram.len() != capacity * capacity {
            return Err(Error::Shape {
                name: "window",
                found: vec![rows.len(), gram.len(), next],
                expected: format!("rows, their inner products and the next place of {capacity}"),
            });
        }
        Ok(SlidingWindow { capacity, damping, effective: false, rows, gram, next })
    }

    /// Whether only gradients that are there count: `m` is then the number of them, not the capacity.
    pub fn effective(mut self, effective: bool) -> SlidingWindow {
        self.effective = effective;
        self
    }

    /// The gradients by place.
    pub fn rows(&self) -> &[Array] {
        &self.rows
    }

    /// Inner products of the gradients, `[capacity, capacity]` row-major.
    pub fn gram(&self) -> &[f64] {
        &self.gram
    }

    /// The place that the next gradient takes.
    pub fn next(&self) -> usize {
        self.next
    }

    /// `m`.
    fn weight(&self) -> f64 {
        (if self.effective { self.rows.len() } else { self.capacity }) as f64
    }

    /// Puts a gradient, `[d]`, in the oldest one's place and returns that place.
    ///
    /// # Errors
    /// A gradient of another length, or with numbers that are not finite or too large to square; the window stays as it was.
    pub fn push(&mut self, gradient: &Array) -> Result<usize, Error> {
        self.check_shape("gradient", gradient)?;
        let (place, row) = (self.next, gradient.stop_gradient());
        let before = if place < self.rows.len() {
            Some(std::mem::replace(&mut self.rows[place], row))
        } else {
            self.rows.push(row);
            None
        };
        let products = products(&self.rows, &self.rows[place]);
        if products.iter().any(|p| !p.is_finite()) {
            match before {
                Some(row) => self.rows[place] = row,
                None => self.rows.truncate(place),
            }
            return Err(Error::NotFinite { name: "the gradient" });
        }
        for (i, product) in products.into_iter().enumerate() {
            self.gram[i * self.capacity + place] = product;
            self.gram[place * self.capacity + i] = product;
        }
        self.next = (place + 1) % self.capacity;
        Ok(place)
    }

    fn check_shape(&self, name: &'static str, x: &Array) -> Result<(), Error> {
        let fits = |row: &Array| row.shape() == x.shape() && row.dtype() == x.dtype();
        if x.rank() == 1 && self.rows.first().is_none_or(fits) {
            return Ok(());
        }
        let expected = match self.rows.first() {
            Some(row) => format!("the window holds {:?} of {}", row.shape(), row.dtype()),
            None => "one vector: [d]".to_string(),
        };
        Err(Error::Shape { name, found: x.shape().to_vec(), expected })
    }

    /// Puts a gradient in and returns `F^-1` times it.
    ///
    /// # Errors
    /// As [`push`](Self::push), and a damping far below rounding.
    pub fn precondition(&mut self, gradient: &Array) -> Result<Array, Error> {
        let place = self.push(gradient)?;
        let mut unit = vec![0.0; self.rows.len()];
        unit[place] = 1.0;
        let (solution, _) = self.solve(&unit)?;
        let weights: Vec<f64> = solution.iter().map(|c| c * self.weight()).collect();
        Ok(combination(&self.rows, &weights).expect("a gradient was put in"))
    }

    /// `F^-1 x` for any vector.
    ///
    /// # Errors
    /// A vector of another length, or with numbers that are not finite; a damping far below rounding.
    pub fn ihvp(&self, x: &Array) -> Result<Array, Error> {
        self.check_shape("x", x)?;
        let products = products(&self.rows, x);
        if products.iter().any(|p| !p.is_finite()) {
            return Err(Error::NotFinite { name: "x" });
        }
        let (weights, damping) = self.solve(&products)?;
        Ok(match combination(&self.rows, &weights) {
            Some(part) => (x - part) / damping,
            None => x / damping,
        })
    }

    /// `F^-1 x` by the paper's recursive [`Coefficients`].
    ///
    /// # Errors
    /// A vector of another length.
    pub fn ihvp_recursive(&self, x: &Array) -> Result<Array, Error> {
        self.check_shape("x", x)?;
        let weights = self.coefficients().weights(&products(&self.rows, x));
        let scaled = x / self.damping;
        Ok(match combination(&self.rows, &weights) {
            Some(part) => scaled - part,
            None => scaled,
        })
    }

    /// The paper's coefficients of the gradients that are there, in the order of their places.
    pub fn coefficients(&self) -> Coefficients {
        Coefficients::new(&self.stored(), self.damping, self.weight())
    }

    /// `K` of the gradients that are there.
    fn stored(&self) -> Vec<f64> {
        let count = self.rows.len();
        (0..count).flat_map(|i| &self.gram[i * self.capacity..][..count]).copied().collect()
    }

    /// `C^-1 y`, and the damping of `C`: the smallest of `lambda`, `10 lambda`, ... at which `C` has a factor.
    fn solve(&self, y: &[f64]) -> Result<(Vec<f64>, f64), Error> {
        let count = self.rows.len();
        if count == 0 {
            return Ok((Vec::new(), self.damping));
        }
        let gram = Device::Cpu.with(|| Array::from_vec(self.stored(), &[count, count]));
        let mut failure = None;
        for raise in 0..=RAISES {
            let damping = self.damping * 10f64.powi(raise);
            let identity = Device::Cpu.with(|| Array::eye(count, DType::F64));
            match gram.add_scaled(damping * self.weight(), &identity).cholesky() {
                Ok(factor) => {
                    let y = Device::Cpu.with(|| Array::from_slice(y, &[count]));
                    return Ok((factor.cholesky_solve(&y).to_vec(), damping));
                }
                Err(problem) => failure = Some(Error::of_factor("the window", damping, problem)),
            }
        }
        Err(failure.expect("tried at least once"))
    }
}
