//! A table of a model's leaves.

use std::fmt;

use lisse_array::{Array, DType, Path, Tree};

/// One leaf of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    /// Its path, which is its name in a weight file.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its element type.
    pub dtype: DType,
    /// Number of elements.
    pub count: usize,
    /// Whether it is state kept beside the parameters, which is not trained.
    pub buffer: bool,
}

/// The leaves of a model with totals; prints as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The leaves in order.
    pub rows: Vec<SummaryRow>,
}

/// Lists the leaves of `model`.
///
/// ```
/// use lisse_array::Stream;
/// let table = lisse_nn::summary(&lisse_nn::Linear::new(2, 3, &Stream::new(0)));
/// assert_eq!(table.parameters(), 9);
/// println!("{table}");
/// ```
pub fn summary<M: Tree>(model: &M) -> Summary {
    let mut rows = Vec::new();
    model.visit(&mut Path::root(), &mut |path: &Path, leaf: &Array| {
        rows.push(SummaryRow {
            path: path.to_string(),
            shape: leaf.shape().to_vec(),
            dtype: leaf.dtype(),
            count: leaf.len(),
            buffer: path.is_buffer(),
        });
    });
    Summary { rows }
}

impl Summary {
    /// Elements of all leaves that are not buffers.
    pub fn parameters(&self) -> usize {
        self.rows.iter().filter(|row| !row.buffer).map(|row| row.count).sum()
    }

    /// Elements of all buffers.
    pub fn buffers(&self) -> usize {
        self.rows.iter().filter(|row| row.buffer).map(|row| row.count).sum()
    }

    /// Memory of all leaves in bytes.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.count * row.dtype.size()).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes: Vec<String> = self.rows.iter().map(|row| format!("{:?}", row.shape)).collect();
        let width = |cells: &mut dyn Iterator<Item = usize>, title: &str| {
            cells.fold(title.len(), usize::max)
        };
        let paths = width(&mut self.rows.iter().map(|row| row.path.len()), "path");
        let sizes = width(&mut shapes.iter().map(String::len), "shape");
        writeln!(f, "{:paths$}  {:sizes$}  {:5}  {:>12}", "path", "shape", "dtype", "elements")?;
        for (row, shape) in self.rows.iter().zip(&shapes) {
            let mark = if row.buffer { "  buffer" } else { "" };
            let (dtype, count) = (row.dtype.name(), thousands(row.count));
            writeln!(f, "{:paths$}  {shape:sizes$}  {dtype:5}  {count:>12}{mark}", row.path)?;
        }
        write!(
            f,
            "{} parameters, {} in buffers, {:.2} MiB",
            thousands(self.parameters()),
            thousands(self.buffers()),
            self.bytes() as f64 / (1 << 20) as f64
        )
    }
}

/// `1234567` as `1,234,567`
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchNorm;

    #[test]
    fn the_table_counts_parameters_and_buffers() {
        let table = summary(&BatchNorm::new(1500));
        assert_eq!((table.parameters(), table.buffers(), table.bytes()), (3000, 3001, 24008));
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "path                 shape   dtype      elements");
        assert_eq!(lines[1], "weight               [1500]  f32           1,500");
        assert_eq!(lines[5], "num_batches_tracked  []      i64               1  buffer");
        assert_eq!(lines[6], "3,000 parameters, 3,001 in buffers, 0.02 MiB");
    }
}
