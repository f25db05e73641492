//! A root of a function of one variable.

/// A zero of `f` between `a` and `b`, where its signs differ, to `tolerance` in the argument: Brent's method (Algorithms for
/// minimization without derivatives, 1973). `None` if the signs do not differ or a value is not finite. `f` may keep
/// what it computed last; it is last called at the root returned.
pub(crate) fn brent<E>(
    mut f: impl FnMut(f64) -> Result<f64, E>,
    (a, b): (f64, f64),
    tolerance: f64,
) -> Result<Option<f64>, E> {
    let (mut a, mut b) = (a, b);
    let (mut fa, mut fb) = (f(a)?, f(b)?);
    let change = fa * fb <= 0.0;
    if !change {
        return Ok(None);
    }
    let (mut c, mut fc) = (a, fa);
    let (mut step, mut before) = (b - a, b - a);
    for _ in 0..100 {
        if fb * fc > 0.0 {
            (c, fc) = (a, fa);
            (step, before) = (b - a, b - a);
        }
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let small = 2.0 * f64::EPSILON * b.abs() + 0.5 * tolerance;
        let middle = 0.5 * (c - b);
        if middle.abs() <= small || fb == 0.0 {
            break;
        }
        if before.abs() >= small && fa.abs() > fb.abs() {
            let s = fb / fa;
            let (mut p, mut q) = if a == c {
                (2.0 * middle * s, 1.0 - s)
            } else {
                let (q, r) = (fa / fc, fb / fc);
                (
                    s * (2.0 * middle * q * (q - r) - (b - a) * (r - 1.0)),
                    (q - 1.0) * (r - 1.0) * (s - 1.0),
                )
            };
            if p > 0.0 {
                q = -q;
            }
            p = p.abs();
            if 2.0 * p < (3.0 * middle * q - (small * q).abs()).min((before * q).abs()) {
                (before, step) = (step, p / q);
            } else {
                (step, before) = (middle, middle);
            }
        } else {
            (step, before) = (middle, middle);
        }
        (a, fa) = (b, fb);
        b += if step.abs() > small { step } else { small.copysign(middle) };
        fb = f(b)?;
        if !fb.is_finite() {
            return Ok(None);
        }
    }
    f(b)?;
    Ok(Some(b))
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
