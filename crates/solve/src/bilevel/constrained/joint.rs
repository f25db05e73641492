//! The set `C = {(x, y) in X x Y : c(x, y) <= 0}` onto which LV-HBA projects.

use crate::bilevel::{BilevelError, Oracle};

/// A set of pairs with a projection.
pub trait JointSet: Send + Sync {
    /// Replaces `(x, y)` by the nearest pair of the set; returns the iterations it took.
    ///
    /// # Errors
    /// If the set is empty, with a proof where there is one.
    fn project(
        &self,
        x: &mut [f64],
        y: &mut [f64],
        oracle: &mut Oracle<'_>,
    ) -> Result<usize, BilevelError>;
}

/// `X x Y`: for problems without coupled constraints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProductSet;

impl JointSet for ProductSet {
    fn project(
        &self,
        x: &mut [f64],
        y: &mut [f64],
        oracle: &mut Oracle<'_>,
    ) -> Result<usize, BilevelError> {
        if oracle.problem().constraints() > 0 {
            let reason = "its constraints couple x and y; give a set that holds them".to_owned();
            return Err(BilevelError::Unsupported { method: "the product set", reason });
        }
        oracle.project_x(x);
        oracle.project_y(y);
        Ok(1)
    }
}
