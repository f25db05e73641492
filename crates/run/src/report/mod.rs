//! Reports: one HTML file with all its pictures in it, light and dark, that needs no network.

mod canvas;
mod colour;
mod contour;
mod html;
mod image;
mod page;
mod picture;
mod plot;
mod scale;
mod table;

pub use image::Image;
pub use picture::{Axis, Bars, Heat, Images, Lines, Picture, Spread};
pub use table::{Cell, Table};

pub(crate) use html::{document, lines_figure, plain_table};
pub(crate) use page::{curves, page};
