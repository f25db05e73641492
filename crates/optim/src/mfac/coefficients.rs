//! The recursive coefficients of the paper's dynamic algorithm.

/// The paper's form of the inverse: with `F_i` the matrix of the first `i` gradients,
///
/// - `D_ij = g_i' F_{i-1}^-1 g_j` for `i <= j`: `D + m I` is the upper factor of the LU factorization of `G G' / lambda + m I`,
/// - `F_{i-1}^-1 g_i = sum_k B_ik g_k`: `B_ii = 1 / lambda`, `B_ik = -sum_{j<i} (D_ji / c_j) B_jk` with `c_j = m + D_jj`.
///
/// Gradients enter by their inner products alone, so that replacing one costs `O(m^3)` at most and no pass over them. All in f64:
/// the matrix's condition grows as the damping falls. [`SlidingWindow`](super::SlidingWindow) solves the same system by a symmetric factor,
/// which is half the work.
///
/// ```
/// use lisse_optim::mfac::Coefficients;
/// // g_1 = (1, 2, 0), g_2 = (0, 1, -1).
/// let coefficients = Coefficients::new(&[5.0, 2.0, 2.0, 2.0], 0.5, 2.0);
/// assert_eq!(coefficients.d(0, 1), 4.0);
/// assert_eq!(coefficients.b(1, 1), 2.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficients {
    damping: f64,
    weight: f64,
    size: usize,
    /// `D` with its diagonal raised by `m`, upper triangle, row-major.
    upper: Vec<f64>,
    /// Lower triangle, row-major.
    lower: Vec<f64>,
}

impl Coefficients {
    /// From the inner products of `k` gradients, `[k, k]` row-major, for a window of `weight` (the paper's `m`).
    ///
    /// # Panics
    /// If `gram` is not square.
    pub fn new(gram: &[f64], damping: f64, weight: f64) -> Coefficients {
        let size = gram.len().isqrt();
        assert_eq!(
            size * size,
            gram.len(),
            "Coefficients: the inner products make a square matrix"
        );
        let zeros = || vec![0.0; size * size];
        let mut made = Coefficients { damping, weight, size, upper: zeros(), lower: zeros() };
        made.refresh(gram, 0);
        made
    }

    /// After gradient `row` was replaced: rows of `B` before it stay as they are.
    ///
    /// # Panics
    /// If `gram` has another size.
    pub fn replace(&mut self, gram: &[f64], row: usize) {
        assert_eq!(gram.len(), self.upper.len(), "Coefficients: as many inner products as before");
        for i in 0..row {
            self.upper[i * self.size + row] = self.pivoted(gram, i, row);
        }
        self.refresh(gram, row);
    }

    /// Rows `from` on.
    fn refresh(&mut self, gram: &[f64], from: usize) {
        let n = self.size;
        for i in from..n {
            for j in i..n {
                self.upper[i * n + j] = self.pivoted(gram, i, j);
            }
        }
        for i in from..n {
            self.lower[i * n..i * n + i].fill(0.0);
            self.lower[i * n + i] = 1.0 / self.damping;
            for j in 0..i {
                let factor = self.upper[j * n + i] / self.upper[j * n + j];
                let (before, row) = self.lower.split_at_mut(i * n);
                for (b, earlier) in row.iter_mut().zip(&before[j * n..=j * n + j]) {
                    *b -= factor * earlier;
                }
            }
        }
    }

    /// Entry of the upper factor; the lower one is its mirror image, scaled.
    fn pivoted(&self, gram: &[f64], i: usize, j: usize) -> f64 {
        let n = self.size;
        let start = gram[i * n + j] / self.damping + if i == j { self.weight } else { 0.0 };
        (0..i).fold(start, |value, k| {
            let row = &self.upper[k * n..];
            value - row[i] * row[j] / row[k]
        })
    }

    /// `D_ij` for `i <= j`.
    pub fn d(&self, i: usize, j: usize) -> f64 {
        self.upper[i * self.size + j] - if i == j { self.weight } else { 0.0 }
    }

    /// `B_ij` for `j <= i`.
    pub fn b(&self, i: usize, j: usize) -> f64 {
        self.lower[i * self.size + j]
    }

    /// The weights `c` of the gradients in `F^-1 x = x / lambda - G'c`, from `G x`.
    ///
    /// # Panics
    /// If there are not as many products as gradients.
    pub fn weights(&self, products: &[f64]) -> Vec<f64> {
        let n = self.size;
        assert_eq!(products.len(), n, "Coefficients: one inner product per gradient");
        let mut y: Vec<f64> = products.iter().map(|p| p / self.damping).collect();
        for i in 0..n {
            // From here on y_i is final: y_i / c_i.
            y[i] /= self.upper[i * n + i];
            for j in i + 1..n {
                y[j] -= self.upper[i * n + j] * y[i];
            }
        }
        (0..n).map(|k| (k..n).map(|i| y[i] * self.lower[i * n + k]).sum()).collect()
    }
}
