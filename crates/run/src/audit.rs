//! Objectives of a recipe, for checking their derivatives against finite differences.

use lisse_array::check::{self, Mismatch};
use lisse_array::{Array, Tree};

type Check = Box<dyn Fn(u32) -> Result<f64, Mismatch>>;

/// An objective at a point, with a name.
pub struct Audit {
    name: String,
    check: Check,
}

impl Audit {
    /// The objective `f` at `at`, whose float leaves must be f64. `f` gives a scalar.
    ///
    /// ```
    /// use lisse_array::{Array, DType};
    /// let audit = lisse_run::Audit::new("square", Array::ones(&[3], DType::F64), |x: &Array| x.square().sum_all());
    /// assert!(audit.check(2).is_ok());
    /// ```
    pub fn new<P: Tree + 'static>(
        name: impl Into<String>,
        at: P,
        f: impl Fn(&P) -> Array + 'static,
    ) -> Audit {
        Audit { name: name.into(), check: Box::new(move |order| check::gradient(&f, &at, order)) }
    }

    /// What the objective is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks the derivatives up to `order` along random directions; the largest relative error, or the first disagreement.
    pub fn check(&self, order: u32) -> Result<f64, Mismatch> {
        (self.check)(order)
    }
}
