//! Gamma and beta draws by rejection from a transformed normal (Marsaglia & Tsang, "A simple method for generating gamma
//! variables", ACM TOMS 26, 2000); at least 95 % of the attempts succeed.

use super::Stream;
use super::functions::{ln, normal_by_inversion, open_unit};

/// The block of an element that holds its boost; attempts come after it.
const BOOST: u64 = 1;

pub(super) struct Gamma {
    d: f64,
    c: f64,
    /// 1 / alpha where alpha < 1: a draw is then one for alpha + 1 times U^(1 / alpha).
    boost: Option<f64>,
}

impl Gamma {
    pub fn new(law: &str, parameter: &str, alpha: f64) -> Self {
        assert!(
            alpha > 0.0 && alpha.is_finite(),
            "{law}: {parameter} must be positive and finite, got {alpha}"
        );
        let (large, boost) =
            if alpha < 1.0 { (alpha + 1.0, Some(1.0 / alpha)) } else { (alpha, None) };
        let d = large - 1.0 / 3.0;
        Self { d, c: 1.0 / (9.0 * d).sqrt(), boost }
    }

    pub fn value(&self, stream: &Stream, index: u64) -> f64 {
        let value = self.unboosted(stream, index);
        match self.boost {
            Some(_) => value * libm::exp(self.log_boost(stream, index)),
            None => value,
        }
    }

    /// The logarithm of [`Gamma::value`], which does not underflow.
    pub fn log_value(&self, stream: &Stream, index: u64) -> f64 {
        ln(self.unboosted(stream, index)) + self.log_boost(stream, index)
    }

    fn log_boost(&self, stream: &Stream, index: u64) -> f64 {
        self.boost.map_or(0.0, |inverse| inverse * ln(open_unit(stream.block(index, BOOST)[0])))
    }

    fn unboosted(&self, stream: &Stream, index: u64) -> f64 {
        let mut round = BOOST;
        loop {
            round += 1;
            let words = stream.block(index, round);
            let x = normal_by_inversion(words[0]);
            let root = 1.0 + self.c * x;
            if root <= 0.0 {
                continue;
            }
            let v = root * root * root;
            let u = open_unit(words[1]);
            let square = x * x;
            // The polynomial squeeze saves most logarithms.
            if u < 1.0 - 0.0331 * square * square
                || ln(u) < 0.5 * square + self.d * (1.0 - v + ln(v))
            {
                return self.d * v;
            }
        }
    }
}

/// X / (X + Y) for gammas X and Y of their own streams.
pub(super) struct Beta {
    gammas: [(Stream, Gamma); 2],
}

impl Beta {
    pub fn new(stream: &Stream, a: f64, b: f64) -> Self {
        let part = |index, name, weight| (stream.part(index), Gamma::new("beta", name, weight));
        Self { gammas: [part(0, "a", a), part(1, "b", b)] }
    }

    pub fn value(&self, index: u64) -> f64 {
        // Through logarithms, since for small a and b both gammas can underflow.
        let [x, y] = self.gammas.each_ref().map(|(stream, gamma)| gamma.log_value(stream, index));
        1.0 / (1.0 + libm::exp(y - x))
    }
}
