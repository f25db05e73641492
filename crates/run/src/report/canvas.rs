//! Drawing SVG through plotters, in colours that the page decides.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Plotters draws on whole pixels; drawing larger and letting the page shrink it keeps curves smooth.
pub(crate) const ZOOM: f64 = 4.0;

/// Size of text, in page pixels.
pub(crate) const TEXT: f64 = 12.0;

/// Colours by role. Plotters wants RGB, so each role has a stand-in that is replaced by a CSS variable afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Text,
    Muted,
    Grid,
    Surface,
    Series(usize),
}

/// Number of colours for series; more share them.
pub(crate) const SERIES_COLOURS: usize = 8;

impl Ink {
    fn stand_in(self) -> RGBColor {
        let code = match self {
            Ink::Text => 0,
            Ink::Muted => 1,
            Ink::Grid => 2,
            Ink::Surface => 3,
            Ink::Series(i) => 16 + (i % SERIES_COLOURS) as u8,
        };
        RGBColor(1, 2, code)
    }

    fn css(self) -> String {
        match self {
            Ink::Text => "currentColor".into(),
            Ink::Muted => "var(--muted)".into(),
            Ink::Grid => "var(--grid)".into(),
            Ink::Surface => "var(--surface)".into(),
            Ink::Series(i) => format!("var(--s{})", i % SERIES_COLOURS),
        }
    }
}

/// Where text stands relative to its point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    /// To the right of the point, middle height.
    Start,
    /// Centred on the point.
    Middle,
    /// To the left of the point, middle height.
    End,
    /// Below the point, centred.
    Below,
}

/// A drawing of fixed size in page pixels.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Plotters can only fail where its target does, and a string does not.
const STRING: &str = "drawing into a string does not fail";

/// Draws with `f` and returns the SVG element. `label` tells what it shows to those who do not see it.
pub(crate) fn draw(width: f64, height: f64, label: &str, f: impl FnOnce(&Canvas<'_>)) -> String {
    let mut svg = String::new();
    {
        let size = ((width * ZOOM) as u32, (height * ZOOM) as u32);
        let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        f(&canvas);
        canvas.area.present().expect(STRING);
    }
    let inks = [Ink::Text, Ink::Muted, Ink::Grid, Ink::Surface].into_iter().chain((0..SERIES_COLOURS).map(Ink::Series));
    for ink in inks {
        let RGBColor(r, g, b) = ink.stand_in();
        svg = svg.replace(&format!("#{r:02X}{g:02X}{b:02X}"), &ink.css());
    }
    let inside = svg.find('>').map_or("", |end| &svg[end + 1..]);
    let label = label.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let (w, h) = ((width * ZOOM) as u32, (height * ZOOM) as u32);
    format!(r#"<svg viewBox="0 0 {w} {h}" role="img" aria-label="{label}" style="max-width:{width}px">{inside}"#)
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    ((x * ZOOM).round() as i32, (y * ZOOM).round() as i32)
}

impl Canvas<'_> {
    pub(crate) fn line(&self, points: &[(f64, f64)], ink: Ink, width: f64, opacity: f64) {
        let style = ink.stand_in().mix(opacity).stroke_width((width * ZOOM).round() as u32);
        let points: Vec<_> = points.iter().copied().map(pixel).collect();
        self.area.draw(&PathElement::new(points, style)).expect(STRING);
    }

    pub(crate) fn area(&self, points: &[(f64, f64)], ink: Ink, opacity: f64) {
        let points: Vec<_> = points.iter().copied().map(pixel).collect();
        self.area.draw(&Polygon::new(points, ink.stand_in().mix(opacity).filled())).expect(STRING);
    }

    pub(crate) fn rectangle(&self, from: (f64, f64), to: (f64, f64), ink: Ink, opacity: f64) {
        let style = ink.stand_in().mix(opacity).filled();
        self.area.draw(&Rectangle::new([pixel(from), pixel(to)], style)).expect(STRING);
    }

    pub(crate) fn frame(&self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        let style = ink.stand_in().stroke_width(ZOOM as u32);
        self.area.draw(&Rectangle::new([pixel(from), pixel(to)], style)).expect(STRING);
    }

    pub(crate) fn dot(&self, at: (f64, f64), radius: f64, ink: Ink) {
        self.area.draw(&Circle::new(pixel(at), (radius * ZOOM) as i32, ink.stand_in().filled())).expect(STRING);
    }

    pub(crate) fn text(&self, text: &str, at: (f64, f64), anchor: Anchor, ink: Ink) {
        self.styled_text(text, at, anchor, ink, FontTransform::None);
    }

    /// Text that reads upwards, centred on its point.
    pub(crate) fn upright_text(&self, text: &str, at: (f64, f64), ink: Ink) {
        self.styled_text(text, at, Anchor::Middle, ink, FontTransform::Rotate270);
    }

    fn styled_text(&self, text: &str, at: (f64, f64), anchor: Anchor, ink: Ink, transform: FontTransform) {
        let position = match anchor {
            Anchor::Start => Pos::new(HPos::Left, VPos::Center),
            Anchor::Middle => Pos::new(HPos::Center, VPos::Center),
            Anchor::End => Pos::new(HPos::Right, VPos::Center),
            Anchor::Below => Pos::new(HPos::Center, VPos::Top),
        };
        // Plotters writes the size divided by 1.24.
        let font = ("inherit", TEXT * ZOOM * 1.24).into_font().transform(transform);
        let colour = ink.stand_in();
        let style = TextStyle::from(font).color(&colour).pos(position);
        self.area.draw(&Text::new(text.to_owned(), pixel(at), style)).expect(STRING);
    }
}

/// About how wide a text is, in page pixels.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * TEXT * 0.56
}
