//! Where the entries of a sparse matrix are.

use std::sync::{Arc, OnceLock};

use super::factor::Symbolic;

/// What is wrong with the description of a sparse matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// The lists of rows, columns and values differ in length.
    #[error(
        "triplets: {rows} rows, {columns} columns and {values} values; there must be one of each per entry"
    )]
    Lengths {
        /// Length of the list of rows.
        rows: usize,
        /// Length of the list of columns.
        columns: usize,
        /// Number of values.
        values: usize,
    },
    /// The row pointers do not delimit the entries.
    #[error("row pointers: {0}")]
    Pointers(String),
    /// An index lies outside the matrix.
    #[error(
        "entry {entry} at row {row}, column {column} lies outside a matrix of {rows} rows and {columns} columns"
    )]
    OutOfRange {
        /// Number of the entry.
        entry: usize,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
    },
    /// The columns of a row are not strictly ascending.
    #[error(
        "row {row}: columns must be strictly ascending, {column} follows {previous}; `from_triplets` sorts and sums"
    )]
    Order {
        /// The row.
        row: usize,
        /// The column out of order.
        column: usize,
        /// The one before it.
        previous: usize,
    },
}

/// The places of a sparse matrix's entries, in compressed rows: columns `indices[indptr[i]..indptr[i + 1]]` in row `i`,
/// strictly ascending. What is derived from places alone is computed once and kept.
pub struct Pattern {
    rows: usize,
    columns: usize,
    indptr: Vec<usize>,
    indices: Vec<usize>,
    row_of: OnceLock<Vec<usize>>,
    transpose: OnceLock<Transpose>,
    pub(super) symbolic: Symbolic,
}

/// The transposed places, and for each of its entries the number of the original one.
pub(super) struct Transpose {
    pub pattern: Arc<Pattern>,
    pub order: Arc<[usize]>,
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pattern({} x {}, {} entries)", self.rows, self.columns, self.len())
    }
}

impl Pattern {
    /// Checks and takes compressed rows.
    ///
    /// # Errors
    /// As [`Csr::new`](super::Csr::new).
    pub fn new(
        rows: usize,
        columns: usize,
        indptr: Vec<usize>,
        indices: Vec<usize>,
    ) -> Result<Pattern, CsrError> {
        if indptr.len() != rows + 1 {
            let found = indptr.len();
            return Err(CsrError::Pointers(format!(
                "{rows} rows need {} of them, got {found}",
                rows + 1
            )));
        }
        if indptr[0] != 0 || indptr[rows] != indices.len() {
            return Err(CsrError::Pointers(format!(
                "they must run from 0 to the {} entries, not from {} to {}",
                indices.len(),
                indptr[0],
                indptr[rows]
            )));
        }
        if let Some(row) = (0..rows).find(|&i| indptr[i] > indptr[i + 1]) {
            return Err(CsrError::Pointers(format!("they fall after row {row}")));
        }
        for row in 0..rows {
            check_row(row, rows, columns, indptr[row], &indices[indptr[row]..indptr[row + 1]])?;
        }
        Ok(Pattern::unchecked(rows, columns, indptr, indices))
    }

    fn unchecked(rows: usize, columns: usize, indptr: Vec<usize>, indices: Vec<usize>) -> Pattern {
        Pattern {
            rows,
            columns,
            indptr,
            indices,
            row_of: OnceLock::new(),
            transpose: OnceLock::new(),
            symbolic: Symbolic::default(),
        }
    }

    /// Places in any order, repeats allowed; also the entry number that each given place got.
    ///
    /// # Errors
    /// [`CsrError::OutOfRange`].
    pub(super) fn from_places(
        rows: usize,
        columns: usize,
        i: &[usize],
        j: &[usize],
    ) -> Result<(Pattern, Vec<usize>), CsrError> {
        if let Some(entry) = (0..i.len()).find(|&k| i[k] >= rows || j[k] >= columns) {
            let (row, column) = (i[entry], j[entry]);
            return Err(CsrError::OutOfRange { entry, row, column, rows, columns });
        }
        let mut order: Vec<usize> = (0..i.len()).collect();
        order.sort_unstable_by_key(|&k| (i[k], j[k], k));
        let mut slots = vec![0; i.len()];
        let mut indices: Vec<usize> = Vec::with_capacity(i.len());
        let mut indptr = vec![0; rows + 1];
        let mut last = None;
        for &k in &order {
            let place = (i[k], j[k]);
            if last != Some(place) {
                indices.push(j[k]);
                indptr[i[k] + 1] += 1;
                last = Some(place);
            }
            slots[k] = indices.len() - 1;
        }
        accumulate(&mut indptr);
        Ok((Pattern::unchecked(rows, columns, indptr, indices), slots))
    }

    /// Ascending row-major positions in the full matrix.
    pub(super) fn from_sorted(rows: usize, columns: usize, positions: &[usize]) -> Pattern {
        let mut indptr = vec![0; rows + 1];
        for position in positions {
            indptr[position / columns + 1] += 1;
        }
        accumulate(&mut indptr);
        let indices = positions.iter().map(|p| p % columns).collect();
        Pattern::unchecked(rows, columns, indptr, indices)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Where each row's entries begin, and the last one's end: `rows + 1` numbers.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Column of each entry.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// Row of each entry.
    pub fn row_of(&self) -> &[usize] {
        self.row_of.get_or_init(|| {
            let row = |i: usize| std::iter::repeat_n(i, self.indptr[i + 1] - self.indptr[i]);
            (0..self.rows).flat_map(row).collect()
        })
    }

    /// Number of the entry at a place.
    pub fn position(&self, row: usize, column: usize) -> Option<usize> {
        let start = self.indptr[row];
        self.indices[start..self.indptr[row + 1]].binary_search(&column).ok().map(|k| start + k)
    }

    pub(super) fn transpose(&self) -> &Transpose {
        self.transpose.get_or_init(|| {
            let mut indptr = vec![0; self.columns + 1];
            for &column in &self.indices {
                indptr[column + 1] += 1;
            }
            accumulate(&mut indptr);
            let mut next = indptr.clone();
            let mut order = vec![0; self.len()];
            let mut indices = vec![0; self.len()];
            // Rows in order, so that each transposed row comes out ascending.
            for (entry, (&row, &column)) in self.row_of().iter().zip(&self.indices).enumerate() {
                order[next[column]] = entry;
                indices[next[column]] = row;
                next[column] += 1;
            }
            let pattern = Arc::new(Pattern::unchecked(self.columns, self.rows, indptr, indices));
            Transpose { pattern, order: order.into() }
        })
    }
}

fn check_row(
    row: usize,
    rows: usize,
    columns: usize,
    start: usize,
    indices: &[usize],
) -> Result<(), CsrError> {
    if let Some(k) = indices.iter().position(|&column| column >= columns) {
        let (entry, column) = (start + k, indices[k]);
        return Err(CsrError::OutOfRange { entry, row, column, rows, columns });
    }
    match indices.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(CsrError::Order { row, column: pair[1], previous: pair[0] }),
        None => Ok(()),
    }
}

fn accumulate(counts: &mut [usize]) {
    for i in 1..counts.len() {
        counts[i] += counts[i - 1];
    }
}
