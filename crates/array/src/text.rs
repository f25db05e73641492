//! How arrays print.

use std::fmt::{self, Write};

use crate::{Array, DType};

/// Rows and columns shown before and after an ellipsis.
const EDGE: usize = 3;
/// Arrays of more elements are abbreviated.
const FULL_UP_TO: usize = 1000;

impl fmt::Display for Array {
    /// Nested brackets as in numpy, four digits unless a precision is given, large arrays abbreviated, then dtype and shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.to_f64_vec();
        let digits = f.precision().unwrap_or(4);
        let cells: Vec<String> = values.iter().map(|&v| cell(v, self.dtype(), digits)).collect();
        let width = cells.iter().map(String::len).max().unwrap_or(0);
        let abbreviate = values.len() > FULL_UP_TO;
        write_block(f, &cells, self.shape(), 0, width, abbreviate)?;
        write!(f, " {} {:?}", self.dtype(), self.shape())?;
        if self.device() != crate::Device::Cpu {
            write!(f, " on {}", self.device())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({self}")?;
        if self.node().is_some() {
            f.write_str(", tracked")?;
        }
        f.write_char(')')
    }
}

fn cell(value: f64, dtype: DType, digits: usize) -> String {
    match dtype {
        DType::Bool => (value != 0.0).to_string(),
        d if d.is_int() => format!("{value:.0}"),
        _ if value != 0.0 && value.is_finite() && !(1e-4..1e6).contains(&value.abs()) => {
            format!("{value:.digits$e}")
        }
        _ => format!("{value:.digits$}"),
    }
}

fn write_block(
    f: &mut fmt::Formatter<'_>,
    cells: &[String],
    shape: &[usize],
    depth: usize,
    width: usize,
    abbreviate: bool,
) -> fmt::Result {
    let Some((&count, rest)) = shape.split_first() else {
        return f.write_str(cells[0].trim());
    };
    let stride: usize = rest.iter().product();
    f.write_char('[')?;
    let mut first = true;
    for i in 0..count {
        if abbreviate && count > 2 * EDGE && i == EDGE {
            f.write_str(if rest.is_empty() { ", ..." } else { ",\n" })?;
            if !rest.is_empty() {
                write!(f, "{:1$}...", "", depth + 1)?;
            }
        }
        if abbreviate && count > 2 * EDGE && (EDGE..count - EDGE).contains(&i) {
            continue;
        }
        if !first {
            f.write_str(if rest.is_empty() { ", " } else { ",\n" })?;
            if !rest.is_empty() {
                write!(f, "{:1$}", "", depth + 1)?;
            }
        }
        first = false;
        if rest.is_empty() {
            write!(f, "{:>width$}", cells[i])?;
        } else {
            write_block(
                f,
                &cells[i * stride..(i + 1) * stride],
                rest,
                depth + 1,
                width,
                abbreviate,
            )?;
        }
    }
    f.write_char(']')
}
