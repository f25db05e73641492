//! The standard normal conditioned on an interval, wherever the interval lies.

use super::Stream;
use super::functions::{ln, normal_cdf, normal_quantile, open_unit, unit};

/// The interval reflected, if need be, so that most of it is below zero, where Φ has full relative accuracy.
pub(super) struct Truncated {
    lo: f64,
    hi: f64,
    reflected: bool,
    method: Method,
}

enum Method {
    /// x = Φ⁻¹(p) with p uniform between Φ(lo) and Φ(hi).
    Inversion { start: f64, width: f64 },
    /// Narrow intervals, where the two Φ nearly cancel: uniform proposals, accepted by density (at least 45 % are).
    Uniform,
    /// Intervals beyond 3: Rayleigh proposals (Marsaglia, "Generating a variable from the tail of the normal
    /// distribution", Technometrics 6, 1964; cut at the far end), accepted with probability near / x, at least 90 %.
    Tail { near: f64, far: f64, cut: f64 },
}

impl Truncated {
    pub fn new(lo: f64, hi: f64) -> Self {
        assert!(
            lo <= hi && lo < f64::INFINITY && hi > f64::NEG_INFINITY,
            "truncated_normal: the interval must have lo <= hi and hold a finite number, got [{lo}, {hi}]"
        );
        let reflected = hi > -lo;
        let (lo, hi) = if reflected { (-hi, -lo) } else { (lo, hi) };
        let method = if hi <= -3.0 {
            let (near, far) = (-hi, -lo);
            Method::Tail { near, far, cut: 0.5 * (far - near) * (far + near) }
        } else if hi - lo < 0.25 {
            Method::Uniform
        } else {
            let start = normal_cdf(lo);
            Method::Inversion { start, width: normal_cdf(hi) - start }
        };
        Self { lo, hi, reflected, method }
    }

    pub fn value(&self, stream: &Stream, index: u64) -> f64 {
        let x = match self.method {
            Method::Inversion { start, width } => {
                let p = start + width * open_unit(stream.block(index, 1)[0]);
                normal_quantile(p.min(1.0 - f64::EPSILON / 2.0))
            }
            Method::Uniform => attempts(stream, index, |words| self.uniform(words)),
            Method::Tail { near, far, cut } => {
                attempts(stream, index, |words| tail(near, far, cut, words))
            }
        };
        let x = x.clamp(self.lo, self.hi);
        if self.reflected { -x } else { x }
    }

    fn uniform(&self, words: [u64; 2]) -> Option<f64> {
        let x = self.lo + (self.hi - self.lo) * unit(words[0], 53);
        // The density is highest at the end nearest to zero, or at zero.
        let peak = self.hi.min(0.0);
        let excess = 0.5 * (x - peak) * (x + peak);
        (-ln(open_unit(words[1])) >= excess).then_some(x)
    }
}

/// Minus a point x of [near, far]: (x² - near²) / 2 is exponential up to `cut`, and x is accepted with probability near / x.
fn tail(near: f64, far: f64, cut: f64, words: [u64; 2]) -> Option<f64> {
    let u = open_unit(words[0]);
    let energy = if cut > 0.7 {
        let floor = libm::exp(-cut);
        -ln(floor + u * (1.0 - floor))
    } else {
        -libm::log1p(u * libm::expm1(-cut))
    };
    // √(near² + 2e) without cancellation.
    let x = near + 2.0 * energy / (near + (near * near + 2.0 * energy).sqrt());
    let x = x.min(far);
    (unit(words[1], 53) * x <= near).then_some(-x)
}

fn attempts(stream: &Stream, index: u64, attempt: impl Fn([u64; 2]) -> Option<f64>) -> f64 {
    let mut round = 1;
    loop {
        if let Some(x) = attempt(stream.block(index, round)) {
            return x;
        }
        round += 1;
    }
}
