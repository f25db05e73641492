//! The bundled sets hold what their source holds. Sums as NumPy gives them for scikit-learn's copies.

use lisse_array::DType;
use lisse_data::{BUNDLED, Bundled, Dataset};

struct Expected {
    name: &'static str,
    shape: &'static [usize],
    sum: f64,
    sum_of_squares: f64,
    class_sizes: &'static [usize],
}

const EXPECTED: [Expected; 5] = [
    Expected {
        name: "digits",
        shape: &[1797, 1, 8, 8],
        // Divided by 16 and by 16^2.
        sum: 561718.0 / 16.0,
        sum_of_squares: 6907012.0 / 256.0,
        class_sizes: &[178, 182, 177, 183, 181, 182, 181, 179, 174, 180],
    },
    Expected {
        name: "breast_cancer",
        shape: &[569, 30],
        sum: 1056474.4596356,
        sum_of_squares: 955069324.085005,
        class_sizes: &[212, 357],
    },
    Expected {
        name: "diabetes",
        shape: &[442, 10],
        sum: 276404.2336,
        sum_of_squares: 33042240.401514962,
        class_sizes: &[],
    },
    Expected {
        name: "wine",
        shape: &[178, 13],
        sum: 159975.295999,
        sum_of_squares: 118768104.78031619,
        class_sizes: &[59, 71, 48],
    },
    Expected {
        name: "iris",
        shape: &[150, 4],
        sum: 2078.7,
        sum_of_squares: 9539.29,
        class_sizes: &[50, 50, 50],
    },
];

#[test]
fn values_are_those_of_the_source() {
    for expected in EXPECTED {
        let set = Dataset::bundled(expected.name).unwrap();
        assert_eq!(set.name, expected.name);
        assert_eq!(set.inputs.shape(), expected.shape);
        let inputs = set.inputs.cast(DType::F64);
        for (found, wanted) in [
            (inputs.sum_all().item(), expected.sum),
            (inputs.square().sum_all().item(), expected.sum_of_squares),
        ] {
            assert!((found / wanted - 1.0).abs() < 1e-12, "{}: {found} {wanted}", expected.name);
        }
        match set.classes() {
            None => assert_eq!(set.targets.sum_all().item(), 67243.0),
            Some(classes) => {
                let mut sizes = vec![0; classes];
                for label in set.labels().unwrap() {
                    sizes[label as usize] += 1;
                }
                assert_eq!(sizes, expected.class_sizes, "{}", expected.name);
            }
        }
    }
}

#[test]
fn kinds_and_names() {
    let digits = Dataset::bundled("digits").unwrap();
    assert_eq!((digits.inputs.dtype(), digits.targets.dtype()), (DType::F32, DType::I64));
    assert_eq!(digits.labels().unwrap()[..4], [0, 1, 2, 3]);
    let cancer = Dataset::bundled("breast_cancer").unwrap();
    assert_eq!(cancer.class_names.unwrap(), ["malignant", "benign"]);
    assert_eq!(cancer.feature_names[0], "mean_radius");
    let diabetes = Dataset::bundled("diabetes").unwrap().cast(DType::F32);
    assert_eq!((diabetes.inputs.dtype(), diabetes.targets.dtype()), (DType::F32, DType::F32));
    assert_eq!(diabetes.feature_names[2], "bmi");
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let text = Dataset::bundled("digit").unwrap_err().to_string();
    assert_eq!(text, "bundled data: no data set `digit`; did you mean `digits`?");
    let text = Dataset::bundled("mnist").unwrap_err().to_string();
    assert_eq!(
        text,
        "bundled data: no data set `mnist`; there are digits, breast_cancer, diabetes, wine, iris"
    );
}

#[test]
fn every_set_says_whom_to_credit_and_all_are_small() {
    for set in BUNDLED {
        assert!(set.source.starts_with("https://"), "{}", set.name);
        assert!(set.citation.contains("doi:10."), "{}", set.name);
        assert_eq!(Bundled::find(set.name).unwrap().about, set.about);
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let bytes: u64 = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 1 << 20, "{bytes} bytes of bundled data");
}
