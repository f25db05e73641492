//! Pieces of HTML that reports and comparisons share.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::canvas::SERIES_COLOURS;
use super::picture::{Bars, Images, Lines};
use super::{Cell, Picture, Table, plot};

/// Width of a picture that stands alone, in page pixels.
const WIDE: f64 = 760.0;
/// Width of one that shares its row.
const NARROW: f64 = 476.0;

/// A whole page.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

/// A picture with its title and caption. Curves and maps share a row, the others take one.
pub(crate) fn picture(picture: &Picture) -> Markup {
    match picture {
        Picture::Lines(lines) => lines_figure(lines, true),
        Picture::Heat(heat) => html! {
            figure {
                h3 { (heat.title) }
                (PreEscaped(plot::heat(heat, NARROW)))
                (caption(&heat.caption))
            }
        },
        Picture::Bars(bars) => bars_figure(bars),
        Picture::Images(images) => images_figure(images),
    }
}

/// Curves with their legend.
pub(crate) fn lines_figure(lines: &Lines, narrow: bool) -> Markup {
    let names: Vec<&str> = lines.series.iter().map(|series| series.name.as_str()).collect();
    html! {
        figure {
            h3 { (lines.title) }
            (legend(&names))
            (PreEscaped(plot::lines(lines, if narrow { NARROW } else { WIDE })))
            (caption(&lines.caption))
        }
    }
}

fn bars_figure(bars: &Bars) -> Markup {
    let mut groups: Vec<&str> = Vec::new();
    for bar in &bars.bars {
        if !groups.contains(&bar.group.as_str()) {
            groups.push(&bar.group);
        }
    }
    html! {
        figure.wide {
            h3 { (bars.title) }
            (legend(&groups))
            (PreEscaped(plot::bars(bars, WIDE)))
            (caption(&bars.caption))
        }
    }
}

fn images_figure(images: &Images) -> Markup {
    html! {
        figure.wide {
            h3 { (images.title) }
            div.images style=(format!("grid-template-columns: repeat({}, minmax(0, 1fr))", images.columns)) {
                @for (image, words) in &images.images {
                    figure {
                        img src=(image.data_uri()) width=(image.width) height=(image.height) alt=(words);
                        (caption(words))
                    }
                }
            }
            (caption(&images.caption))
        }
    }
}

/// Which colour is which; nothing if there is only one series without a name.
fn legend(names: &[&str]) -> Markup {
    html! {
        @if names.len() > 1 || names.first().is_some_and(|name| !name.is_empty()) {
            ul.legend {
                @for (index, name) in names.iter().enumerate() {
                    li { i style=(format!("background: var(--s{})", index % SERIES_COLOURS)) {} (name) }
                }
            }
        }
    }
}

fn caption(text: &str) -> Markup {
    html! { @if !text.is_empty() { figcaption { (text) } } }
}

/// A table with its title and caption.
pub(crate) fn table(table: &Table) -> Markup {
    html! {
        figure.wide {
            @if !table.title.is_empty() { h3 { (table.title) } }
            (plain_table(&table.columns, &table.rows))
            (caption(&table.caption))
        }
    }
}

/// A table whose first column names its rows. Columns of numbers are set to the right.
pub(crate) fn plain_table(columns: &[String], rows: &[Vec<Cell>]) -> Markup {
    let numeric = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some() && cells.all(|cell| matches!(cell, Cell::Number(_)) || cell.text() == "–")
    };
    let class = |column: usize| numeric(column).then_some("number");
    html! {
        div.scroll {
            table {
                thead { tr { @for (i, name) in columns.iter().enumerate() { th class=[class(i)] { (name) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (i, cell) in row.iter().enumerate() {
                                @if i == 0 && !numeric(0) { th scope="row" { (cell.text()) } }
                                @else { td class=[class(i)] { (cell.text()) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
