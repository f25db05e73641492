//! The data sets compiled into the program. Their files, sources and licences are in the folder `data` of the repository.

use lisse_array::{Array, DType};

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::table::{CsvOptions, Table};

/// A bundled data set: what it is and whom to credit.
#[derive(Clone, Copy, Debug)]
pub struct Bundled {
    /// The name that [`Dataset::bundled`] takes.
    pub name: &'static str,
    /// One line on its contents.
    pub about: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Under which licence.
    pub licence: &'static str,
    /// How to cite it.
    pub citation: &'static str,
    file: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../data/", $name)) as &[u8])
    };
}

const fn bundled(
    name: &'static str,
    about: &'static str,
    [source, licence, citation]: [&'static str; 3],
    (file, bytes): (&'static str, &'static [u8]),
) -> Bundled {
    Bundled { name, about, source, licence, citation, file, bytes }
}

/// Every bundled data set.
pub const BUNDLED: [Bundled; 5] = [
    bundled(
        "digits",
        "1797 handwritten digits, 8x8 pixels, 10 classes",
        [
            "https://archive.ics.uci.edu/dataset/80",
            "CC BY 4.0",
            "E. Alpaydin, C. Kaynak (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning Repository. doi:10.24432/C50P49",
        ],
        file!("digits.csv.gz"),
    ),
    bundled(
        "breast_cancer",
        "569 tumours, 30 measurements of cell nuclei, malignant or benign",
        [
            "https://archive.ics.uci.edu/dataset/17",
            "CC BY 4.0",
            "W. Wolberg, O. Mangasarian, N. Street, W. Street (1993). Breast Cancer Wisconsin (Diagnostic). UCI Machine Learning Repository. doi:10.24432/C5DW2B",
        ],
        file!("breast_cancer.csv"),
    ),
    bundled(
        "diabetes",
        "442 patients, 10 baseline values, progression after one year (regression)",
        [
            "https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html",
            "none stated by its authors",
            "B. Efron, T. Hastie, I. Johnstone, R. Tibshirani (2004). Least angle regression. Annals of Statistics 32(2), 407-499. doi:10.1214/009053604000000067",
        ],
        file!("diabetes.csv"),
    ),
    bundled(
        "wine",
        "178 wines, 13 chemical measurements, 3 cultivars",
        [
            "https://archive.ics.uci.edu/dataset/109",
            "CC BY 4.0",
            "S. Aeberhard, M. Forina (1991). Wine. UCI Machine Learning Repository. doi:10.24432/C5PC7J",
        ],
        file!("wine.csv"),
    ),
    bundled(
        "iris",
        "150 flowers, 4 lengths in cm, 3 species",
        [
            "https://archive.ics.uci.edu/dataset/53",
            "CC BY 4.0",
            "R. A. Fisher (1936). Iris. UCI Machine Learning Repository. doi:10.24432/C56C76",
        ],
        file!("iris.csv"),
    ),
];

impl Bundled {
    /// The set of this name.
    ///
    /// # Errors
    /// [`DataError::Unknown`] with the nearest name.
    pub fn find(name: &str) -> Result<&'static Self, DataError> {
        const ALL: &[Bundled] = &BUNDLED;
        ALL.iter().find(|set| set.name == name).ok_or_else(|| DataError::Unknown {
            holder: "bundled data".to_string(),
            kind: "data set",
            name: name.to_string(),
            known: BUNDLED.map(|set| set.name.to_string()).to_vec(),
        })
    }

    /// Its columns as they stand in the file, the target last.
    ///
    /// # Errors
    /// None for the files as released.
    pub fn table(&self) -> Result<Table, DataError> {
        Table::from_csv_bytes(self.bytes, self.file, &CsvOptions::default())
    }

    fn load(&self) -> Result<Dataset, DataError> {
        let table = self.table()?;
        let mut dataset = match self.name {
            "diabetes" => Dataset::regression(&table, "progression")?,
            "breast_cancer" => malignant_first(Dataset::classification(&table, "class")?)?,
            "digits" => as_images(Dataset::classification(&table, "class")?),
            _ => Dataset::classification(&table, "class")?,
        };
        dataset.name = self.name.to_string();
        Ok(dataset)
    }
}

impl Dataset {
    /// A data set that ships with the program: `digits`, `breast_cancer`, `diabetes`, `wine` or `iris`.
    ///
    /// `digits`: inputs f32 `[1797, 1, 8, 8]` in `[0, 1]` (the stored 0 to 16 divided by 16), labels i64. The others: inputs
    /// f64 `[n, features]` in the units of the source, targets i64 labels or, for `diabetes`, f64 `[n]`.
    ///
    /// # Errors
    /// [`DataError::Unknown`] with the nearest name.
    pub fn bundled(name: &str) -> Result<Self, DataError> {
        Bundled::find(name)?.load()
    }
}

fn as_images(mut digits: Dataset) -> Dataset {
    /// The largest value of a pixel: all 16 points of a 4x4 block are set.
    const INK: f64 = 16.0;
    let count = digits.len() as isize;
    digits.inputs = (digits.inputs.cast(DType::F32) / INK).reshape(&[count, 1, 8, 8]);
    digits.feature_names = Vec::new();
    digits
}

/// The order of classes that the data set is known by, in place of the alphabet's.
fn malignant_first(mut tumours: Dataset) -> Result<Dataset, DataError> {
    let labels: Vec<i64> = tumours.labels()?.into_iter().map(|label| 1 - label).collect();
    tumours.targets = Array::from_slice(&labels, &[labels.len()]);
    tumours.class_names = Some(vec!["malignant".to_string(), "benign".to_string()]);
    Ok(tumours)
}
