//! Softmax regression.

use lisse_array::{Array, DType};

use super::{ProblemError, check_matrix, check_number};
use crate::gradient_normalized::{Approximation, Curvature, CurvedProblem};

/// `f(W) = mean_i (ln sum_k exp z_ik - z_{i,y_i}) + l2 |W|^2 / 2`, `z = X W`; the argument is `W: [d, k]` row by row.
///
/// With `p = softmax(z)` and residuals `r = p - onehot(y)`: the Hessian, which is also Gauss-Newton, is
/// `mean_i x_i x_i^T (x) (diag p_i - p_i p_i^T)`, the empirical Fisher matrix `mean_i x_i x_i^T (x) r_i r_i^T`. The penalty's Hessian is always
/// exact. For an intercept give a column of ones.
#[derive(Clone, Debug)]
pub struct Softmax {
    inputs: Array,
    /// `[n, k]`
    targets: Array,
    l2: f64,
}

impl Softmax {
    /// From inputs `[n, d]` and labels `[n]` from 0 to `classes - 1`.
    ///
    /// # Errors
    /// If shapes do not fit, an entry is not finite, a label is no class or `l2` is negative.
    pub fn new(
        inputs: &Array,
        labels: &Array,
        classes: usize,
        l2: f64,
    ) -> Result<Softmax, ProblemError> {
        check_matrix("the inputs", inputs)?;
        check_number("l2", l2, l2 >= 0.0, "a number of at least 0")?;
        super::check_vector("the labels", &labels.cast(DType::F64), inputs.dim(0))?;
        let fits = |y: f64| y >= 0.0 && y < classes as f64 && y.fract() == 0.0;
        if let Some(&value) = labels.to_f64_vec().iter().find(|&&y| !fits(y)) {
            let expected = "a class from 0 to below the number of classes";
            return Err(ProblemError::Number { what: "a label", value, expected });
        }
        let targets = Array::one_hot(&labels.cast(DType::I64), classes, inputs.dtype());
        Ok(Softmax { inputs: inputs.clone(), targets, l2 })
    }

    fn logits(&self, w: &Array) -> Array {
        let (d, k) = (self.inputs.dim(1) as isize, self.targets.dim(1) as isize);
        self.inputs.matmul(&w.reshape(&[d, k]))
    }

    fn count(&self) -> f64 {
        self.inputs.dim(0) as f64
    }

    fn loss(&self, z: &Array, w: &Array) -> f64 {
        let fit = (z.logsumexp(&[1]) - (z * &self.targets).sum(&[1])).mean_all().item();
        if self.l2 == 0.0 { fit } else { fit + 0.5 * self.l2 * w.square().sum_all().item() }
    }

    /// `mean_i x_i x_i^T (x) c_i c_i^T`-like matrices, from the weights of each pair of classes.
    fn blocks(&self, pair: impl Fn(usize, usize) -> Array) -> Array {
        let (d, k) = (self.inputs.dim(1), self.targets.dim(1));
        let transposed = self.inputs.t();
        let mut blocks = vec![None; k * k];
        for a in 0..k {
            for b in 0..=a {
                let weights = pair(a, b) * (1.0 / self.count());
                let block = transposed.matmul(&(&self.inputs * weights.unsqueeze(1)));
                // Each block is symmetric, and so are the pairs.
                blocks[b * k + a] = Some(block.clone());
                blocks[a * k + b] = Some(block);
            }
        }
        let blocks: Vec<Array> = blocks.into_iter().flatten().collect();
        let side = (d * k) as isize;
        let stacked = Array::stack(&blocks.iter().collect::<Vec<_>>(), 0);
        let stacked = stacked.reshape(&[k as isize, k as isize, d as isize, d as isize]);
        let matrix = stacked.permute(&[2, 0, 3, 1]).reshape(&[side, side]);
        let eye = matrix.device().with(|| Array::eye(d * k, DType::F64)).cast(matrix.dtype());
        matrix.add_scaled(self.l2, &eye)
    }
}

impl CurvedProblem for Softmax {
    fn dim(&self) -> usize {
        self.inputs.dim(1) * self.targets.dim(1)
    }
    fn value(&self, w: &Array) -> f64 {
        self.loss(&self.logits(w), w)
    }
    fn value_and_grad(&self, w: &Array) -> (f64, Array) {
        let z = self.logits(w);
        let residuals = z.softmax(1) - &self.targets;
        let gradient = self.inputs.t().matmul(&residuals) * (1.0 / self.count());
        (self.loss(&z, w), gradient.reshape(&[-1]).add_scaled(self.l2, w))
    }
    fn approximations(&self) -> &'static [Approximation] {
        &[Approximation::Exact, Approximation::GaussNewton, Approximation::Fisher]
    }
    fn curvature(&self, w: &Array, approximation: Approximation) -> Option<Curvature<'_>> {
        let p = self.logits(w).softmax(1);
        let fisher = match approximation {
            Approximation::Exact | Approximation::GaussNewton => false,
            Approximation::Fisher => true,
            _ => return None,
        };
        let c = if fisher { &p - &self.targets } else { p };
        let outer = c.clone();
        let product = move |v: &Array| {
            let z = self.logits(v);
            let along = (&outer * &z).sum_keep(&[1]) * &outer;
            let turned = if fisher { along } else { &outer * z - along };
            let image = self.inputs.t().matmul(&turned) * (1.0 / self.count());
            image.reshape(&[-1]).add_scaled(self.l2, v)
        };
        let dense = move || {
            self.blocks(|a, b| {
                let (left, right) = (c.index(1, a), c.index(1, b));
                let both = &left * right;
                match (fisher, a == b) {
                    (true, _) => both,
                    (false, true) => left - both,
                    (false, false) => -both,
                }
            })
        };
        Some(Curvature::Operator { product: Box::new(product), dense: Some(Box::new(dense)) })
    }
}
