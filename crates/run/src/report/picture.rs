//! Pictures as data; how they are drawn is the business of the modules beside this one.

use serde::{Deserialize, Serialize};

use super::Image;
use crate::Number;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Logarithmic if all values are positive and span some decades.
    #[default]
    Automatic,
    /// Evenly.
    Linear,
    /// By powers of ten; values that are not positive are left out.
    Logarithmic,
}

/// An axis: what it shows, with its unit, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// What is shown: `seconds`, `train loss`.
    pub label: String,
    /// Linear or logarithmic.
    pub spread: Spread,
}

impl Axis {
    /// An axis that chooses its spread by its values.
    pub fn new(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), spread: Spread::Automatic }
    }

    /// A logarithmic axis.
    pub fn log(mut self) -> Axis {
        self.spread = Spread::Logarithmic;
        self
    }

    /// A linear axis.
    pub fn linear(mut self) -> Axis {
        self.spread = Spread::Linear;
        self
    }
}

/// A picture for the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "picture", rename_all = "snake_case")]
pub enum Picture {
    /// Curves.
    Lines(Lines),
    /// A function of two variables, in colours.
    Heat(Heat),
    /// Horizontal bars.
    Bars(Bars),
    /// A grid of images.
    Images(Images),
}

impl Picture {
    /// Curves over a common x axis; add them with [`Lines::series`].
    pub fn lines(title: impl Into<String>, x: Axis, y: Axis) -> Lines {
        Lines { title: title.into(), caption: String::new(), x, y, series: Vec::new() }
    }

    /// A function of two variables in colours: `z[row * xs.len() + column]` belongs to `(xs[column], ys[row])`; `xs` and `ys` are
    /// evenly spaced and increasing. NaN is left blank. Panics if the lengths do not fit.
    pub fn heat(
        title: impl Into<String>,
        x: Axis,
        y: Axis,
        xs: Vec<f64>,
        ys: Vec<f64>,
        z: Vec<f64>,
    ) -> Heat {
        assert!(
            xs.len() >= 2 && ys.len() >= 2 && z.len() == xs.len() * ys.len(),
            "heat: {} values for a grid of {} by {} (at least 2 by 2)",
            z.len(),
            xs.len(),
            ys.len()
        );
        Heat {
            title: title.into(),
            caption: String::new(),
            x,
            y,
            value: Axis::new("value").linear(),
            xs,
            ys,
            z: z.into_iter().map(Number).collect(),
            contours: 0,
            marks: Vec::new(),
        }
    }

    /// Horizontal bars: a race, a ranking. Add them with [`Bars::bar`] or [`Bars::bar_in`].
    pub fn bars(title: impl Into<String>, axis: Axis) -> Bars {
        Bars { title: title.into(), caption: String::new(), axis, bars: Vec::new() }
    }

    /// A grid of images, `columns` wide. Add them with [`Images::image`].
    pub fn images(title: impl Into<String>, columns: usize) -> Images {
        Images {
            title: title.into(),
            caption: String::new(),
            columns: columns.max(1),
            images: Vec::new(),
        }
    }
}

macro_rules! picture {
    ($($kind:ident),*) => { $(
        impl From<$kind> for Picture {
            fn from(picture: $kind) -> Picture {
                Picture::$kind(picture)
            }
        }

        impl $kind {
            /// A sentence or two under the picture.
            pub fn caption(mut self, caption: impl Into<String>) -> Self {
                self.caption = caption.into();
                self
            }
        }
    )* };
}

picture!(Lines, Heat, Bars, Images);

/// Curves; made by [`Picture::lines`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// A named curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(Number, Number)>,
}

impl Lines {
    /// Adds a curve through `points` (x, y) in order. Points that are not finite break it.
    pub fn series(
        mut self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let points = points.into_iter().map(|(x, y)| (Number(x), Number(y))).collect();
        self.series.push(Series { name: name.into(), points });
        self
    }
}

/// A function of two variables in colours; made by [`Picture::heat`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) value: Axis,
    pub(crate) xs: Vec<f64>,
    pub(crate) ys: Vec<f64>,
    pub(crate) z: Vec<Number>,
    pub(crate) contours: usize,
    pub(crate) marks: Vec<(f64, f64, String)>,
}

impl Heat {
    /// What the colours show, and whether they follow the value or its logarithm; linear by default.
    pub fn value(mut self, axis: Axis) -> Self {
        self.value = axis;
        self
    }

    /// Colours follow the logarithm.
    pub fn log(mut self) -> Self {
        self.value.spread = Spread::Logarithmic;
        self
    }

    /// Draws about `count` contour lines.
    pub fn contours(mut self, count: usize) -> Self {
        self.contours = count;
        self
    }

    /// Marks a point.
    pub fn mark(mut self, x: f64, y: f64, label: impl Into<String>) -> Self {
        self.marks.push((x, y, label.into()));
        self
    }
}

/// Horizontal bars; made by [`Picture::bars`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bars {
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) axis: Axis,
    #[allow(clippy::struct_field_names)]
    pub(crate) bars: Vec<Bar>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bar {
    pub(crate) group: String,
    pub(crate) label: String,
    pub(crate) value: Number,
}

impl Bars {
    /// Adds a bar. A value that is not finite is shown as "did not finish".
    pub fn bar(self, label: impl Into<String>, value: f64) -> Self {
        self.bar_in("", label, value)
    }

    /// Adds a bar to a group: bars of one label stand together, one colour for each group.
    pub fn bar_in(
        mut self,
        group: impl Into<String>,
        label: impl Into<String>,
        value: f64,
    ) -> Self {
        self.bars.push(Bar { group: group.into(), label: label.into(), value: Number(value) });
        self
    }
}

/// A grid of images; made by [`Picture::images`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Images {
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) columns: usize,
    #[allow(clippy::struct_field_names)]
    pub(crate) images: Vec<(Image, String)>,
}

impl Images {
    /// Adds an image with a few words under it (may be empty).
    pub fn image(mut self, image: Image, caption: impl Into<String>) -> Self {
        self.images.push((image, caption.into()));
        self
    }
}
