//! A root of a function of one variable.

use crate::solvers::{self, RootOptions, Stop};

/// A zero of `f` between `a` and `b`, where its signs differ, by [`solvers::brent`] for a function that may fail; `None` if the signs do not
/// differ or a value is not finite. `f` may keep what it computed last; it is last called at the root returned.
pub(crate) fn brent<E>(
    mut f: impl FnMut(f64) -> Result<f64, E>,
    (a, b): (f64, f64),
    tolerance: f64,
) -> Result<Option<f64>, E> {
    let mut failure = None;
    let value = |x: f64| match &failure {
        Some(_) => f64::NAN,
        None => match f(x) {
            Ok(value) if value.is_finite() => value,
            Ok(_) => f64::NAN,
            Err(error) => {
                failure = Some(error);
                f64::NAN
            }
        },
    };
    let options = RootOptions { tolerance, max_evaluations: 102 };
    let found = solvers::brent(value, a, b, &options);
    if let Some(error) = failure {
        return Err(error);
    }
    match found {
        Ok(root) if root.stop != Stop::NotFinite => {
            f(root.x)?;
            Ok(Some(root.x))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::brent;

    #[test]
    fn roots_are_found() {
        let find = |f: &dyn Fn(f64) -> f64, a, b| brent(|x| Ok::<_, ()>(f(x)), (a, b), 1e-14);
        let root = find(&|x| x.cos() - x, 0.0, 1.0).unwrap().unwrap();
        assert!((root - 0.739_085_133_215_160_6).abs() < 1e-14);
        let flat = find(&|x| (x - 0.3).powi(9), 0.0, 1.0).unwrap().unwrap();
        assert!((flat - 0.3).abs() < 1e-2);
        assert_eq!(find(&|x| x * x + 1.0, -1.0, 1.0).unwrap(), None);
        assert_eq!(find(&|x| x, 0.0, 1.0).unwrap(), Some(0.0));
    }
}
