//! From values to places on paper, and the marks along the way.

use super::{Axis, Spread};

/// Decades that positive values must span for an automatic axis to be logarithmic.
const AUTOMATIC_DECADES: f64 = 2.3;

/// Maps values to 0..=1, linearly or by their logarithm.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    log: bool,
    low: f64,
    high: f64,
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Place in 0..=1.
    pub(crate) at: f64,
    pub(crate) label: String,
}

impl Scale {
    /// A scale that shows all finite `values`, with a little room at both ends if `padded`.
    pub(crate) fn fit(
        axis: &Axis,
        values: impl Iterator<Item = f64> + Clone,
        padded: bool,
    ) -> Scale {
        let finite = values.filter(|v| v.is_finite());
        let log = match axis.spread {
            Spread::Linear => false,
            Spread::Logarithmic => finite.clone().any(|v| v > 0.0),
            Spread::Automatic => {
                let (low, high) = range(finite.clone());
                low > 0.0 && (high / low).log10() >= AUTOMATIC_DECADES
            }
        };
        let (mut low, mut high) =
            if log { range(finite.filter(|&v| v > 0.0).map(f64::log10)) } else { range(finite) };
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= low.abs().max(high.abs()) * 1e-12 {
            let room = if log || low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low, high) = (low - room, high + room);
        } else if padded {
            let room = (high - low) * 0.04;
            // Values that reach down to zero should be seen to stand on it.
            let touches_zero = !log && low >= 0.0 && low < room;
            (low, high) = (if touches_zero { low.min(0.0) } else { low - room }, high + room);
        }
        Scale { log, low, high }
    }

    /// The same scale reaching down to zero, for bars; logarithmic ones to the power of ten below.
    pub(crate) fn down_to_zero(mut self) -> Scale {
        self.low = if self.log { (self.low - 0.01).floor() } else { self.low.min(0.0) };
        self
    }

    /// Place of a value in 0..=1 (outside if the value is); `None` if it has none.
    pub(crate) fn at(&self, value: f64) -> Option<f64> {
        let value = if self.log { value.log10() } else { value };
        value.is_finite().then(|| (value - self.low) / (self.high - self.low))
    }

    /// About `count` marks at round values.
    pub(crate) fn ticks(&self, count: usize) -> Vec<Tick> {
        let values = if self.log { self.log_values(count) } else { self.linear_values(count) };
        let biggest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let step = values.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        let label =
            |value| if self.log { power_label(value) } else { plain_label(value, step, biggest) };
        values
            .into_iter()
            .filter_map(|value| Some(Tick { at: self.at(value)?, label: label(value) }))
            .collect()
    }

    fn linear_values(&self, count: usize) -> Vec<f64> {
        let step = round_step((self.high - self.low) / count.max(1) as f64);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    fn log_values(&self, count: usize) -> Vec<f64> {
        let decades = self.high - self.low;
        let inside = |value: f64| (self.low - 1e-9..=self.high + 1e-9).contains(&value.log10());
        let powers = self.low.floor() as i32..=self.high.ceil() as i32;
        // Few decades show 1, 2, 5 of each; many show every second or third power only.
        let digits: &[f64] = match decades {
            d if d < 1.0 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
            d if d < 2.5 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let stride = (decades / count.max(1) as f64).ceil().max(1.0) as i32;
        let powers = powers.filter(|power| power.rem_euclid(stride) == 0);
        powers
            .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)))
            .filter(|&v| inside(v))
            .collect()
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 2.5, 5.0].into_iter().find(|digit| digit * power >= step * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

fn plain_label(value: f64, step: f64, biggest: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e6).contains(&biggest) {
        return crate::number::human(value).replace('e', "×10^").split_once('^').map_or_else(
            || crate::number::human(value),
            |(digits, power)| format!("{digits}{}", superscript(power)),
        );
    }
    // As many decimals as the step between marks needs.
    let decimals = (0..8)
        .find(|&d| ((step * 10f64.powi(d)).round() - step * 10f64.powi(d)).abs() < 1e-6)
        .unwrap_or(8);
    format!("{value:.*}", decimals as usize).replacen('-', "−", 1)
}

fn power_label(value: f64) -> String {
    let power = value.log10().floor() as i32;
    let power = if 10f64.powi(power + 1) <= value * (1.0 + 1e-9) { power + 1 } else { power };
    let digit = value / 10f64.powi(power);
    if (-2..=3).contains(&power) {
        return crate::number::human(value);
    }
    let ten = format!("10{}", superscript(&power.to_string()));
    if (digit - 1.0).abs() < 1e-6 { ten } else { format!("{}×{ten}", crate::number::human(digit)) }
}

fn superscript(digits: &str) -> String {
    let raise = |c| match c {
        '-' | '−' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' | '4'..='9' => char::from_u32('⁰' as u32 + c as u32 - '0' as u32).unwrap_or(c),
        other => other,
    };
    digits.chars().map(raise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], axis: &Axis) -> Vec<String> {
        Scale::fit(axis, values.iter().copied(), false)
            .ticks(5)
            .into_iter()
            .map(|tick| tick.label)
            .collect()
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(labels(&[0.0, 1.0], &Axis::new("")), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&[0.0, 2e4], &Axis::new("")), ["0", "5000", "10000", "15000", "20000"]);
        assert_eq!(labels(&[-1.0, 1.0], &Axis::new("")), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&[0.0, 4e7], &Axis::new("")), ["0", "1×10⁷", "2×10⁷", "3×10⁷", "4×10⁷"]);
    }

    #[test]
    fn wide_ranges_are_logarithmic() {
        assert_eq!(
            labels(&[1e-5, 1.0], &Axis::new("")),
            ["10⁻⁵", "10⁻⁴", "10⁻³", "0.01", "0.1", "1"]
        );
        assert_eq!(labels(&[1.0, 50.0], &Axis::new("").log()), ["1", "2", "5", "10", "20", "50"]);
        let scale = Scale::fit(&Axis::new("").log(), [0.01, 1.0].into_iter(), false);
        assert!((scale.at(0.1).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(scale.at(0.0), None);
    }

    #[test]
    fn no_values_and_equal_values_have_a_scale() {
        assert_eq!(labels(&[], &Axis::new("")), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let scale = Scale::fit(&Axis::new(""), [3.0, 3.0].into_iter(), true);
        assert_eq!(scale.at(3.0), Some(0.5));
        assert!(!labels(&[f64::NAN, 1e-30], &Axis::new("")).is_empty());
    }
}
