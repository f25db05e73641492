//! Inputs with their targets.

use lisse_array::{Array, DType, Device, Stream};

use crate::error::{DataError, Place};
use crate::gather::rows;
use crate::split::{split, stratified_split};
use crate::table::{Missing, Table};

/// Examples along the first axis of `inputs` and `targets`.
///
/// ```
/// use lisse_data::Dataset;
///
/// let digits = Dataset::bundled("digits")?;
/// assert_eq!(digits.inputs.shape(), [1797, 1, 8, 8]);
/// assert_eq!(digits.classes(), Some(10));
/// # Ok::<(), lisse_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What messages and reports call it.
    pub name: String,
    /// `[n, ...]`: `[n, features]` for tables, `[n, channels, height, width]` for images.
    pub inputs: Array,
    /// `[n]`: class labels as i64 from 0, or real values. Any shape `[n, ...]` is allowed.
    pub targets: Array,
    /// Names of the input columns; empty for images.
    pub feature_names: Vec<String>,
    /// Names of the classes, by label; `None` for real targets.
    pub class_names: Option<Vec<String>>,
}

impl Dataset {
    /// A data set from arrays, refusing values that are not finite.
    ///
    /// # Errors
    /// No examples; inputs and targets of different number; NaN or infinity, with row and column.
    pub fn new(name: impl Into<String>, inputs: Array, targets: Array) -> Result<Self, DataError> {
        Self::with_missing(name, inputs, targets, Missing::Refuse)
    }

    /// A data set from arrays; `missing` says what to do with examples that hold NaN or infinity.
    ///
    /// # Errors
    /// As [`new`](Self::new); no example left.
    pub fn with_missing(
        name: impl Into<String>,
        inputs: Array,
        targets: Array,
        missing: Missing,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let (examples, labelled) = (leading(&inputs)?, leading(&targets)?);
        if examples != labelled {
            return Err(DataError::argument(
                "Dataset",
                format!(
                    "`{name}` has {examples} inputs but {labelled} targets; the first axes must be equally long"
                ),
            ));
        }
        if examples == 0 {
            return Err(DataError::NoRows { file: name, dropped: 0 });
        }
        let whole = Self { name, inputs, targets, feature_names: Vec::new(), class_names: None };
        match missing {
            Missing::Keep => Ok(whole),
            Missing::Refuse => whole.check_finite().map(|()| whole),
            Missing::DropRows => whole.without_flaws(),
        }
    }

    /// A data set for classification: column `target` of a table gives the labels (see [`Table::categories`]), the other
    /// columns the inputs, f64 `[n, features]`.
    ///
    /// # Errors
    /// No such column; another column that is not numeric; a missing value.
    pub fn classification(table: &Table, target: &str) -> Result<Self, DataError> {
        let (labels, class_names) = table.categories(target)?;
        let count = labels.len();
        let mut dataset = Self::from_table(table, target, Array::from_vec(labels, &[count]))?;
        dataset.class_names = Some(class_names);
        Ok(dataset)
    }

    /// A data set for regression: column `target` of a table gives the targets, f64 `[n]`, the other columns the inputs,
    /// f64 `[n, features]`.
    ///
    /// # Errors
    /// No such column; a column that is not numeric; a missing value.
    pub fn regression(table: &Table, target: &str) -> Result<Self, DataError> {
        let values = table.numbers(target)?;
        let count = values.len();
        Self::from_table(table, target, Array::from_vec(values, &[count]))
    }

    fn from_table(table: &Table, target: &str, targets: Array) -> Result<Self, DataError> {
        let names: Vec<&str> =
            table.names().iter().map(String::as_str).filter(|name| *name != target).collect();
        if names.is_empty() {
            return Err(DataError::argument(
                "Dataset",
                format!("{} has no column besides the target `{target}`", table.source()),
            ));
        }
        let mut dataset = Self {
            name: table.source().to_string(),
            inputs: table.to_array(&names)?,
            targets,
            feature_names: Vec::new(),
            class_names: None,
        };
        dataset.feature_names = names.into_iter().map(String::from).collect();
        dataset.check_finite().map(|()| dataset)
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.inputs.shape()[0]
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of classes, if the targets are classes.
    pub fn classes(&self) -> Option<usize> {
        self.class_names.as_ref().map(Vec::len)
    }

    /// The class labels.
    ///
    /// # Errors
    /// Targets that are not whole numbers `[n]`.
    pub fn labels(&self) -> Result<Vec<i64>, DataError> {
        crate::labels::to_vec(&self.targets)
    }

    /// The examples of the given indices, in that order.
    ///
    /// # Panics
    /// On an index past the last example.
    pub fn select(&self, indices: &[usize]) -> Self {
        self.with_arrays(rows(&self.inputs, indices), rows(&self.targets, indices))
    }

    /// The same examples with other targets, for instance with [label noise](crate::label_noise).
    ///
    /// # Errors
    /// Another number of targets than inputs.
    pub fn with_targets(&self, targets: Array) -> Result<Self, DataError> {
        if leading(&targets)? == self.len() {
            return Ok(self.with_arrays(self.inputs.clone(), targets));
        }
        Err(DataError::argument(
            "Dataset::with_targets",
            format!(
                "{} targets for the {} inputs of `{}`",
                targets.shape()[0],
                self.len(),
                self.name
            ),
        ))
    }

    /// Floating-point inputs and targets in another dtype; labels stay as they are.
    pub fn cast(&self, dtype: DType) -> Self {
        let cast = |array: &Array| {
            if array.dtype().is_float() { array.cast(dtype) } else { array.clone() }
        };
        self.with_arrays(cast(&self.inputs), cast(&self.targets))
    }

    /// The data set on another device.
    pub fn to_device(&self, device: Device) -> Self {
        self.with_arrays(self.inputs.to_device(device), self.targets.to_device(device))
    }

    /// Training and test part, `test_fraction` of the examples in the latter; stratified if the targets are classes.
    ///
    /// # Errors
    /// A fraction that leaves one part empty.
    ///
    /// ```
    /// use lisse_array::Stream;
    /// use lisse_data::Dataset;
    ///
    /// let (train, test) = Dataset::bundled("iris")?.train_test(0.2, &Stream::new(0))?;
    /// assert_eq!((train.len(), test.len()), (120, 30));
    /// # Ok::<(), lisse_data::DataError>(())
    /// ```
    pub fn train_test(
        &self,
        test_fraction: f64,
        stream: &Stream,
    ) -> Result<(Self, Self), DataError> {
        let parts = if self.class_names.is_some() {
            stratified_split(&self.labels()?, test_fraction, stream)?
        } else {
            split(self.len(), test_fraction, stream)?
        };
        Ok((self.select(&parts.train), self.select(&parts.test)))
    }

    fn with_arrays(&self, inputs: Array, targets: Array) -> Self {
        Self {
            name: self.name.clone(),
            inputs,
            targets,
            feature_names: self.feature_names.clone(),
            class_names: self.class_names.clone(),
        }
    }

    fn check_finite(&self) -> Result<(), DataError> {
        for (array, what) in [(&self.inputs, "input"), (&self.targets, "target")] {
            let Some((row, column, value)) = flaws(array).next() else {
                continue;
            };
            let number = column + 1;
            let named = self.feature_names.get(column).filter(|_| what == "input");
            return Err(DataError::NotFinite {
                file: self.name.clone(),
                place: Place::Row(row as u64 + 1),
                column: number,
                name: named.cloned().unwrap_or_else(|| format!("{what} {number}")),
                found: format!("{value}"),
            });
        }
        Ok(())
    }

    fn without_flaws(self) -> Result<Self, DataError> {
        let mut whole = vec![true; self.len()];
        for (row, _, _) in flaws(&self.inputs).chain(flaws(&self.targets)) {
            whole[row] = false;
        }
        let kept: Vec<usize> = (0..self.len()).filter(|&row| whole[row]).collect();
        if kept.is_empty() {
            return Err(DataError::NoRows { dropped: self.len(), file: self.name });
        }
        Ok(if kept.len() == self.len() { self } else { self.select(&kept) })
    }
}

fn leading(array: &Array) -> Result<usize, DataError> {
    array.shape().first().copied().ok_or_else(|| {
        DataError::argument("Dataset", "a single number has no examples; expected shape [n, ...]")
    })
}

/// Row, column within the row, and value of everything that is not finite.
fn flaws(array: &Array) -> Box<dyn Iterator<Item = (usize, usize, f64)>> {
    if array.all_finite() {
        return Box::new(std::iter::empty());
    }
    let width = array.len() / array.shape()[0];
    let flawed = move |(index, value): (usize, f64)| {
        (!value.is_finite()).then(|| (index / width, index % width, value))
    };
    Box::new(array.to_f64_vec().into_iter().enumerate().filter_map(flawed))
}
