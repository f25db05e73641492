//! Eigenvalues of Hessians by exact Hessian-vector products.

use std::convert::Infallible;

use lisse_array::{Array, DType, Stream, Tree};

/// Extreme eigenvalues of a symmetric operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Ritz values, ascending; the extreme ones converge first.
    pub ritz: Vec<f64>,
    /// Bound on the distance from the largest Ritz value to an eigenvalue.
    pub residual: f64,
    /// Operator applications used.
    pub products: usize,
}

impl Spectrum {
    /// The largest eigenvalue, from below.
    pub fn largest(&self) -> f64 {
        self.ritz.last().copied().unwrap_or(f64::NAN)
    }

    /// The smallest eigenvalue, from above.
    pub fn smallest(&self) -> f64 {
        self.ritz.first().copied().unwrap_or(f64::NAN)
    }
}

/// Lanczos iteration with full reorthogonalisation, from a random start, until the largest Ritz value has a residual below
/// `tolerance` times itself, the space is exhausted, or `most` products were made.
///
/// `operator` maps a tree shaped like `like` to its product with the symmetric operator, for instance
/// `|v| hvp(&loss, &params, v)`. The recurrence runs in f64 whatever the dtype of the tree.
///
/// ```
/// use lisse_array::{Array, Stream, hvp};
/// use lisse_optim::spectrum::lanczos;
/// let d = Array::from_slice(&[1.0f64, 5.0, -2.0], &[3]);
/// let f = |x: &Array| (x.square() * &d * 0.5).sum_all();
/// let x = Array::ones(&[3], d.dtype());
/// let spectrum = lanczos(|v| hvp(f, &x, v), &x, 10, 1e-10, Stream::new(0));
/// assert!((spectrum.largest() - 5.0).abs() < 1e-9 && (spectrum.smallest() + 2.0).abs() < 1e-9);
/// ```
pub fn lanczos<P: Tree>(
    operator: impl Fn(&P) -> P,
    like: &P,
    most: usize,
    tolerance: f64,
    stream: Stream,
) -> Spectrum {
    let never = |v: &P| Ok::<P, Infallible>(operator(v));
    let Ok(spectrum) = try_lanczos(never, like, most, tolerance, stream);
    spectrum
}

/// [`lanczos`] with an operator that may fail, for instance because the user interrupts.
///
/// # Errors
/// The operator's own.
pub fn try_lanczos<P: Tree, E>(
    mut operator: impl FnMut(&P) -> Result<P, E>,
    like: &P,
    most: usize,
    tolerance: f64,
    stream: Stream,
) -> Result<Spectrum, E> {
    let flat = like.flatten();
    let (n, dtype) = (flat.len(), flat.dtype());
    let mut apply = |v: &Array| -> Result<Array, E> {
        let product = operator(&like.unflatten(&v.cast(dtype)))?;
        Ok(product.flatten().cast(DType::F64))
    };
    let start = stream.normal(&[n], DType::F64);
    let mut basis = vec![&start * (1.0 / norm(&start))];
    let (mut diagonal, mut off): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    loop {
        let v = &basis[basis.len() - 1];
        let mut w = apply(v)?;
        diagonal.push((v * &w).sum_all().item());
        // Twice is enough (Kahan and Parlett).
        for _ in 0..2 {
            for u in &basis {
                w = w.add_scaled(-(u * &w).sum_all().item(), u);
            }
        }
        let beta = norm(&w);
        let (ritz, last) = tridiagonal(&diagonal, &off);
        let largest = ritz.last().copied().unwrap_or(0.0);
        let residual = beta * last.abs();
        let scale = ritz.iter().fold(0.0f64, |m, r| m.max(r.abs()));
        let exhausted = diagonal.len() == n || beta <= 1e-12 * scale;
        if exhausted || diagonal.len() >= most || residual <= tolerance * largest.abs() {
            return Ok(Spectrum { ritz, residual, products: diagonal.len() });
        }
        off.push(beta);
        basis.push(w * (1.0 / beta));
    }
}

fn norm(v: &Array) -> f64 {
    v.square().sum_all().item().sqrt()
}

/// Eigenvalues of a symmetric tridiagonal matrix, ascending, and the last entry of the largest one's eigenvector.
fn tridiagonal(diagonal: &[f64], off: &[f64]) -> (Vec<f64>, f64) {
    let k = diagonal.len();
    let mut t = vec![0.0; k * k];
    for i in 0..k {
        t[i * k + i] = diagonal[i];
        if i + 1 < k {
            t[i * k + i + 1] = off[i];
            t[(i + 1) * k + i] = off[i];
        }
    }
    match Array::from_vec(t, &[k, k]).eigh() {
        Ok((values, vectors)) => {
            let last = vectors.to_vec::<f64>()[k * k - 1];
            (values.to_vec::<f64>(), last)
        }
        // Not finite: the caller sees it in the values.
        Err(_) => (vec![f64::NAN; k], f64::NAN),
    }
}
