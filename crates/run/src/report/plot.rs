//! Curves, bars and colour maps.

use super::canvas::{Anchor, Canvas, Ink, TEXT, draw, text_width};
use super::picture::{Bars, Heat, Lines, Series};
use super::scale::{Scale, Tick};
use super::{colour, contour};
use crate::number::human;

/// Curves with more points are drawn as the mean and the range of this many parts.
const MOST_POINTS: usize = 400;

/// Space for axis labels under a plot.
const BOTTOM: f64 = 44.0;

/// Where the data are drawn.
struct Frame {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, share: f64) -> f64 {
        self.left + (self.right - self.left) * share
    }

    fn y(&self, share: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * share
    }
}

/// Curves as SVG, `width` page pixels wide.
pub(crate) fn lines(picture: &Lines, width: f64) -> String {
    let height = (width * 0.62).min(360.0);
    let points = || picture.series.iter().flat_map(|series| &series.points);
    let x = Scale::fit(&picture.x, points().map(|(x, _)| x.0), false);
    let y = Scale::fit(&picture.y, points().map(|(_, y)| y.0), true);
    let (x_ticks, y_ticks) = (x.ticks(6), y.ticks(5));
    let labels = y_ticks.iter().map(|tick| text_width(&tick.label)).fold(0.0, f64::max);
    let frame =
        Frame { left: labels + 32.0, top: 8.0, right: width - 14.0, bottom: height - BOTTOM };
    draw(width, height, &picture.title, |canvas| {
        axes(canvas, &frame, &x_ticks, &y_ticks, &picture.x.label, &picture.y.label);
        for (index, series) in picture.series.iter().enumerate() {
            curve(canvas, &frame, &x, &y, series, Ink::Series(index));
        }
    })
}

fn axes(
    canvas: &Canvas<'_>,
    frame: &Frame,
    x_ticks: &[Tick],
    y_ticks: &[Tick],
    x_label: &str,
    y_label: &str,
) {
    for tick in y_ticks {
        let y = frame.y(tick.at);
        canvas.line(&[(frame.left, y), (frame.right, y)], Ink::Grid, 1.0, 1.0);
        canvas.text(&tick.label, (frame.left - 8.0, y), Anchor::End, Ink::Muted);
    }
    canvas.line(&[(frame.left, frame.bottom), (frame.right, frame.bottom)], Ink::Muted, 1.0, 1.0);
    for tick in x_ticks {
        let x = frame.x(tick.at);
        canvas.line(&[(x, frame.bottom), (x, frame.bottom + 4.0)], Ink::Muted, 1.0, 1.0);
        canvas.text(&tick.label, (x, frame.bottom + 8.0), Anchor::Below, Ink::Muted);
    }
    canvas.text(
        x_label,
        (f64::midpoint(frame.left, frame.right), frame.bottom + 26.0),
        Anchor::Below,
        Ink::Text,
    );
    canvas.upright_text(y_label, (TEXT * 0.8, f64::midpoint(frame.top, frame.bottom)), Ink::Text);
}

fn curve(canvas: &Canvas<'_>, frame: &Frame, x: &Scale, y: &Scale, series: &Series, ink: Ink) {
    let place =
        |x_value: f64, y_value: f64| Some((frame.x(x.at(x_value)?), frame.y(y.at(y_value)?)));
    for run in series.points.split(|(x_value, y_value)| place(x_value.0, y_value.0).is_none()) {
        let places: Vec<(f64, f64)> = run.iter().filter_map(|(x, y)| place(x.0, y.0)).collect();
        match places.as_slice() {
            [] => {}
            [only] => canvas.dot(*only, 3.0, ink),
            _ if places.len() <= MOST_POINTS => canvas.line(&places, ink, 1.75, 1.0),
            _ => summary_curve(canvas, &places, ink),
        }
    }
}

/// The mean of each part as a line, the range as a band behind it.
fn summary_curve(canvas: &Canvas<'_>, places: &[(f64, f64)], ink: Ink) {
    let parts = places.chunks(places.len().div_ceil(MOST_POINTS));
    let mut means = Vec::new();
    let mut upper = Vec::new();
    let mut lower = Vec::new();
    for part in parts {
        let count = part.len() as f64;
        let x = part.iter().map(|p| p.0).sum::<f64>() / count;
        means.push((x, part.iter().map(|p| p.1).sum::<f64>() / count));
        upper.push((x, part.iter().map(|p| p.1).fold(f64::INFINITY, f64::min)));
        lower.push((x, part.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max)));
    }
    let band: Vec<_> = upper.into_iter().chain(lower.into_iter().rev()).collect();
    canvas.area(&band, ink, 0.16);
    canvas.line(&means, ink, 1.75, 1.0);
}

/// Bars as SVG, `width` page pixels wide.
pub(crate) fn bars(picture: &Bars, width: f64) -> String {
    let mut labels: Vec<&str> = Vec::new();
    let mut groups: Vec<&str> = Vec::new();
    for bar in &picture.bars {
        if !labels.contains(&bar.label.as_str()) {
            labels.push(&bar.label);
        }
        if !groups.contains(&bar.group.as_str()) {
            groups.push(&bar.group);
        }
    }
    let scale =
        Scale::fit(&picture.axis, picture.bars.iter().map(|bar| bar.value.0), false).down_to_zero();
    let thick = if groups.len() > 1 { 12.0 } else { 18.0 };
    let row = thick * groups.len() as f64 + 10.0;
    let height = row * labels.len() as f64 + BOTTOM + 8.0;
    let left =
        labels.iter().map(|label| text_width(label)).fold(0.0, f64::max).min(width * 0.45) + 16.0;
    let frame = Frame { left, top: 8.0, right: width - 96.0, bottom: height - BOTTOM };
    draw(width, height, &picture.title, |canvas| {
        for tick in scale.ticks(5) {
            let x = frame.x(tick.at);
            canvas.line(&[(x, frame.top), (x, frame.bottom)], Ink::Grid, 1.0, 1.0);
            canvas.text(&tick.label, (x, frame.bottom + 8.0), Anchor::Below, Ink::Muted);
        }
        canvas.text(
            &picture.axis.label,
            (f64::midpoint(frame.left, frame.right), frame.bottom + 26.0),
            Anchor::Below,
            Ink::Text,
        );
        for (index, label) in labels.iter().enumerate() {
            let top = frame.top + index as f64 * row + 5.0;
            canvas.text(
                label,
                (frame.left - 8.0, top + (row - 10.0) / 2.0),
                Anchor::End,
                Ink::Text,
            );
            for bar in picture.bars.iter().filter(|bar| bar.label == *label) {
                let group = groups.iter().position(|group| *group == bar.group).unwrap_or(0);
                let top = top + group as f64 * thick;
                one_bar(canvas, &frame, &scale, bar.value.0, (top + 1.0, top + thick - 1.0), group);
            }
        }
        let zero = frame.x(scale.at(0.0).unwrap_or(0.0).clamp(0.0, 1.0));
        canvas.line(&[(zero, frame.top), (zero, frame.bottom)], Ink::Muted, 1.0, 1.0);
    })
}

fn one_bar(
    canvas: &Canvas<'_>,
    frame: &Frame,
    scale: &Scale,
    value: f64,
    (top, bottom): (f64, f64),
    group: usize,
) {
    let middle = f64::midpoint(top, bottom);
    let Some(end) = scale.at(value).filter(|_| value.is_finite()) else {
        canvas.text("did not finish", (frame.left + 6.0, middle), Anchor::Start, Ink::Muted);
        return;
    };
    let zero = scale.at(0.0).unwrap_or(0.0).clamp(0.0, 1.0);
    let (from, to) = (frame.x(zero.min(end)), frame.x(zero.max(end)));
    canvas.rectangle((from, top), (to.max(from + 1.0), bottom), Ink::Series(group), 1.0);
    canvas.text(&human(value), (to + 6.0, middle), Anchor::Start, Ink::Text);
}

/// A colour map as SVG, `width` page pixels wide.
pub(crate) fn heat(picture: &Heat, width: f64) -> String {
    let values = || picture.z.iter().map(|z| z.0);
    let scale = Scale::fit(&picture.value, values(), false);
    let (xs, ys) = (&picture.xs, &picture.ys);
    let x = Scale::fit(&picture.x.clone().linear(), [xs[0], xs[xs.len() - 1]].into_iter(), false);
    let y = Scale::fit(&picture.y.clone().linear(), [ys[0], ys[ys.len() - 1]].into_iter(), false);
    let y_ticks = y.ticks(5);
    let labels = y_ticks.iter().map(|tick| text_width(&tick.label)).fold(0.0, f64::max);
    let value_ticks = scale.ticks(6);
    let value_labels = value_ticks.iter().map(|tick| text_width(&tick.label)).fold(0.0, f64::max);
    let (left, right) = (labels + 32.0, width - value_labels - 66.0);
    let height = (right - left).min(460.0) + BOTTOM + 8.0;
    let frame = Frame { left, top: 8.0, right, bottom: height - BOTTOM };
    let bar =
        Frame { left: right + 18.0, right: right + 32.0, top: frame.top, bottom: frame.bottom };
    let svg = draw(width, height, &picture.title, |canvas| {
        contour_lines(canvas, &frame, picture, &scale);
        canvas.frame((frame.left, frame.top), (frame.right, frame.bottom), Ink::Muted);
        axes(canvas, &frame, &x.ticks(5), &[], &picture.x.label, &picture.y.label);
        for tick in &y_ticks {
            canvas.text(&tick.label, (frame.left - 8.0, frame.y(tick.at)), Anchor::End, Ink::Muted);
        }
        for tick in &value_ticks {
            let at = bar.y(tick.at);
            canvas.line(&[(bar.right, at), (bar.right + 4.0, at)], Ink::Muted, 1.0, 1.0);
            canvas.text(&tick.label, (bar.right + 8.0, at), Anchor::Start, Ink::Muted);
        }
        canvas.upright_text(
            &picture.value.label,
            (width - TEXT * 0.8, f64::midpoint(bar.top, bar.bottom)),
            Ink::Text,
        );
        for (x_value, y_value, label) in &picture.marks {
            let (Some(x), Some(y)) = (x.at(*x_value), y.at(*y_value)) else { continue };
            mark(canvas, (frame.x(x), frame.y(y)), label, frame.x(x) > f64::midpoint(left, right));
        }
    });
    let map = colour::map(picture, &scale);
    colour::place(
        svg,
        &[
            (map, (frame.left, frame.top), (frame.right, frame.bottom)),
            (colour::bar(), (bar.left, bar.top), (bar.right, bar.bottom)),
        ],
    )
}

fn contour_lines(canvas: &Canvas<'_>, frame: &Frame, picture: &Heat, scale: &Scale) {
    let (columns, rows) = (picture.xs.len(), picture.ys.len());
    let heights: Vec<f64> = picture.z.iter().map(|z| scale.at(z.0).unwrap_or(f64::NAN)).collect();
    for level in 1..=picture.contours {
        let level = level as f64 / (picture.contours + 1) as f64;
        for [(x0, y0), (x1, y1)] in contour::segments(&heights, columns, rows, level) {
            let place = |x: f64, y: f64| {
                (frame.x(x / (columns - 1) as f64), frame.y(y / (rows - 1) as f64))
            };
            canvas.line(&[place(x0, y0), place(x1, y1)], Ink::Surface, 0.75, 0.55);
        }
    }
}

/// A dot that is seen on any colour, with its label on a light ground.
fn mark(canvas: &Canvas<'_>, at: (f64, f64), label: &str, to_the_left: bool) {
    canvas.dot(at, 5.5, Ink::Surface);
    canvas.dot(at, 4.0, Ink::Series(1));
    if label.is_empty() {
        return;
    }
    let wide = text_width(label) + 10.0;
    let left = if to_the_left { at.0 - 10.0 - wide } else { at.0 + 10.0 };
    canvas.rectangle((left, at.1 - 10.0), (left + wide, at.1 + 10.0), Ink::Surface, 0.85);
    canvas.text(label, (left + wide / 2.0, at.1), Anchor::Middle, Ink::Text);
}
