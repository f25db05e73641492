//! Prescribed values.

use lisse_array::sparse::Csr;
use lisse_array::{Array, DType};

use crate::Space;

/// Unknowns whose values are prescribed.
#[derive(Clone, Debug)]
pub struct Dirichlet {
    free: Vec<usize>,
    /// One where free, zero where prescribed.
    mask: Array,
}

impl Dirichlet {
    /// The nodes on facets of the boundary whose middle satisfies the predicate.
    pub fn new(space: &Space, on: impl Fn(&[f64]) -> bool) -> Dirichlet {
        Dirichlet::of(space.len(), &space.boundary_nodes(on))
    }

    /// These of `n` unknowns. Panics if one is out of range.
    #[track_caller]
    pub fn of(n: usize, prescribed: &[usize]) -> Dirichlet {
        let mut mask = vec![1.0; n];
        for &i in prescribed {
            assert!(i < n, "Dirichlet: unknown {i} is out of range for {n}");
            mask[i] = 0.0;
        }
        let free = (0..n).filter(|&i| mask[i] == 1.0).collect();
        Dirichlet { free, mask: Array::from_vec(mask, &[n]) }
    }

    /// Unknowns that are free, ascending.
    pub fn free(&self) -> &[usize] {
        &self.free
    }

    /// The system `A x = b` with `x = values` where prescribed: rows and columns of those unknowns become the identity's, so that a
    /// symmetric matrix stays so and keeps its places. `values` has one number per unknown, of which the free ones do not
    /// matter. Differentiable to the matrix, `b` and `values`.
    #[track_caller]
    pub fn impose(&self, a: &Csr, b: &Array, values: &Array) -> (Csr, Array) {
        let pattern = a.pattern();
        let mask = self.mask.to_f64_vec();
        assert!(
            a.shape() == [mask.len(), mask.len()],
            "impose: a matrix of shape {:?} for {} unknowns",
            a.shape(),
            mask.len()
        );
        let places = pattern.row_of().iter().zip(pattern.indices());
        let (kept, ones): (Vec<f64>, Vec<f64>) = places
            .map(|(&i, &j)| {
                let keep = mask[i] * mask[j];
                (keep, if i == j { 1.0 - keep } else { 0.0 })
            })
            .unzip();
        let constant = |values: Vec<f64>| Array::from_vec(values, &[pattern.len()]);
        let matrix = a.with_values(&(a.values() * constant(kept) + constant(ones)));
        let fixed = values * (1.0 - &self.mask);
        let right = (b - a.matmul(&fixed)) * &self.mask + fixed;
        (matrix, right)
    }

    /// The block of a constant matrix that belongs to the free unknowns. Its derivative stays behind.
    pub fn restrict(&self, a: &Csr) -> Csr {
        let [n, _] = a.shape();
        let mut number = vec![usize::MAX; n];
        for (k, &i) in self.free.iter().enumerate() {
            number[i] = k;
        }
        let (pattern, values) = (a.pattern(), a.values().to_f64_vec());
        let (mut indptr, mut indices, mut kept) = (vec![0], Vec::new(), Vec::new());
        for &i in &self.free {
            for e in pattern.indptr()[i]..pattern.indptr()[i + 1] {
                let j = number[pattern.indices()[e]];
                if j != usize::MAX {
                    indices.push(j);
                    kept.push(values[e]);
                }
            }
            indptr.push(indices.len());
        }
        let m = self.free.len();
        let kept = Array::from_vec(kept, &[indices.len()]);
        Csr::new(m, m, indptr, indices, &kept).expect("a block of a valid matrix")
    }

    /// Values at all unknowns from those at the free ones, zero elsewhere.
    #[track_caller]
    pub fn extend(&self, free: &[f64]) -> Array {
        let mut all = vec![0.0; self.mask.len()];
        for (&i, &v) in self.free.iter().zip(free) {
            all[i] = v;
        }
        Array::from_vec(all, self.mask.shape())
    }

    /// How many unknowns there are, free or not.
    pub fn len(&self) -> usize {
        self.mask.len()
    }

    /// Whether there are no unknowns.
    pub fn is_empty(&self) -> bool {
        self.mask.is_empty()
    }

    /// One where free, zero where prescribed.
    pub fn mask(&self) -> &Array {
        &self.mask
    }

    /// Zeros at all unknowns, as `values` for conditions that are homogeneous.
    pub fn zeros(&self) -> Array {
        Array::zeros(self.mask.shape(), DType::F64)
    }
}
