//! Data, what is foreign to them, and what they are compared with.

use lisse_array::{Array, DType, Stream};
use lisse_data::{Batches, Dataset};
use lisse_run::{Error, Setup};

use super::config::{Config, DataConfig};
use crate::energy::{Gaussian, Noise, Planar, Whitener, dequantize};

/// Everything that a training does not change.
pub struct Task {
    source: Source,
    /// `[n, d]`
    pub test: Array,
    /// Fitted to training data.
    pub noise: Box<dyn Noise>,
    /// Named examples that the model should find foreign.
    pub outliers: Vec<(&'static str, Array)>,
    /// From components back to images.
    pub whitener: Option<Whitener>,
    pub dtype: DType,
}

/// Where batches come from.
enum Source {
    Law(Law),
    Rows(Array, Box<Batches>),
}

/// A distribution with as many examples as one wants.
pub enum Law {
    Line(Box<Gaussian>),
    Plane(Planar),
}

impl Law {
    fn sample(&self, count: usize, stream: &Stream, dtype: DType) -> Array {
        match self {
            Law::Line(gaussian) => gaussian.sample(count, stream),
            Law::Plane(planar) => planar.sample(count, stream, dtype),
        }
    }

    /// `log p` where it has a closed form.
    pub fn log_density(&self, x: &Array) -> Option<Array> {
        match self {
            Law::Line(gaussian) => Some(gaussian.log_density(x)),
            Law::Plane(planar) => planar.log_density(x),
        }
    }
}

/// Examples of a law that noise is fitted to and that models are tested on.
const EXAMPLES: usize = 4000;

/// Levels of a pixel of the digits.
const LEVELS: usize = 17;

impl Task {
    pub fn new(config: &Config, setup: &Setup) -> Result<Task, Error> {
        let stream = Stream::new(setup.seed).child("data");
        let dtype = config.training.dtype;
        let of_law = |law: Law| {
            let train = law.sample(EXAMPLES, &stream.child("train"), dtype);
            let test = law.sample(EXAMPLES, &stream.child("test"), dtype);
            (train, test, Source::Law(law))
        };
        let (mut outliers, mut whitener) = (Vec::new(), None);
        let (train, test, source) = match &config.data {
            DataConfig::Gaussian { mean } => {
                let mean = Array::from_slice(&[*mean], &[1]).cast(dtype);
                let gaussian = Gaussian { mean, ..Gaussian::isotropic(1, 1.0, dtype) };
                of_law(Law::Line(Box::new(gaussian)))
            }
            DataConfig::Planar { shape } => of_law(Law::Plane(*shape)),
            DataConfig::Digits { classes, test_fraction, components } => {
                let digits = Digits::new(classes, *test_fraction, dtype, &stream)?;
                let fitted = Whitener::fit(&digits.train, *components).map_err(Error::other)?;
                let here = |x: &Array| fitted.apply(x).to_device(setup.device);
                outliers =
                    vec![("foreign", here(&digits.foreign)), ("uniform", here(&digits.uniform))];
                let (train, test) = (here(&digits.train), here(&digits.test));
                let size = config.training.batch_size.min(train.dim(0));
                let batches = Batches::new(train.dim(0), size).map_err(Error::other)?;
                let batches = batches.shuffled(&stream.child("order"));
                whitener = Some(fitted);
                (train.clone(), test, Source::Rows(train, Box::new(batches)))
            }
        };
        let noise = config.noise.build(&train, &stream.child("noise fit")).map_err(Error::other)?;
        Ok(Task { source, test, noise, outliers, whitener, dtype })
    }

    pub fn dim(&self) -> usize {
        self.test.dim(1)
    }

    /// The batch of a step.
    pub fn batch(&self, step: u64, size: usize, stream: &Stream) -> Array {
        match &self.source {
            Source::Law(law) => law.sample(size, stream, self.dtype),
            Source::Rows(rows, batches) => {
                let at: Vec<i64> = batches.at(step).indices.iter().map(|&i| i as i64).collect();
                rows.index_select(0, &Array::from_slice(&at, &[at.len()]))
            }
        }
    }

    /// The distribution itself, where it is known.
    pub fn law(&self) -> Option<&Law> {
        match &self.source {
            Source::Law(law) => Some(law),
            Source::Rows(..) => None,
        }
    }

    /// Mean of `-log p` over the test data, for the distribution itself.
    pub fn true_nll(&self) -> Option<f64> {
        Some(-self.law()?.log_density(&self.test)?.mean_all().item())
    }
}

/// Images as rows, between 0 and 1.
struct Digits {
    train: Array,
    test: Array,
    foreign: Array,
    uniform: Array,
}

impl Digits {
    fn new(
        classes: &[i64],
        test_fraction: f64,
        dtype: DType,
        stream: &Stream,
    ) -> Result<Digits, Error> {
        let data = Dataset::bundled("digits").map_err(Error::other)?;
        let labels = data.labels().map_err(Error::other)?;
        let (own, foreign): (Vec<usize>, Vec<usize>) =
            (0..labels.len()).partition(|&i| classes.contains(&labels[i]));
        let (train, test) = data
            .select(&own)
            .train_test(test_fraction, &stream.child("split"))
            .map_err(|problem| Error::message(format!("data.test_fraction: {problem}")))?;
        let rows = |part: &Dataset, name: &str| {
            let whole = (part.inputs.cast(dtype) * (LEVELS - 1) as f64 + 0.5).floor();
            let whole = whole.reshape(&[part.len() as isize, -1]);
            dequantize(&whole, LEVELS, &stream.child(name))
        };
        let test = rows(&test, "test");
        let uniform = stream.child("uniform").uniform(test.shape(), dtype);
        let foreign = rows(&data.select(&foreign), "foreign");
        Ok(Digits { train: rows(&train, "train"), test, foreign, uniform })
    }
}
