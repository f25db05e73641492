//! The fixed tasks: a model, a stream of batches, and what is measured.

use lisse_array::{Array, DType, Stream, Tree};
use lisse_data::{Batches, Dataset, Text, label_noise};
use lisse_nn::models::{Gpt, GptConfig, Mlp, MlpConfig, SmallConvNet, SmallConvNetConfig};
use lisse_nn::{Context, Model, losses};
use lisse_run::Error;
use serde::{Deserialize, Serialize};

/// A model of one of the tasks.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub enum Learner {
    /// A convolutional network.
    Conv(#[tree(flatten)] Box<SmallConvNet>),
    /// A linear map.
    Linear(#[tree(flatten)] Mlp),
    /// A transformer.
    Transformer(#[tree(flatten)] Box<Gpt>),
}

impl Learner {
    /// Logits, one row per prediction.
    pub fn logits(&self, inputs: &Array) -> Array {
        let context = Context::eval();
        match self {
            Learner::Conv(net) => net.forward(inputs, &context),
            Learner::Linear(map) => {
                map.forward(&inputs.reshape(&[inputs.dim(0) as isize, -1]), &context)
            }
            Learner::Transformer(gpt) => gpt.forward(inputs, &context).reshape(&[-1, VOCABULARY]),
        }
    }
}

const VOCABULARY: isize = 256;
/// Bytes that the transformer sees.
const CONTEXT: usize = 64;
/// Examples of a batch: images, or windows of text.
const IMAGES: usize = 64;
const WINDOWS: usize = 8;
/// Windows on which losses of the transformer are measured.
const MEASURED: usize = 64;

/// Inputs, and one target for each prediction.
#[derive(Clone)]
pub struct Batch {
    pub inputs: Array,
    pub targets: Array,
}

impl Batch {
    pub fn loss(&self, learner: &Learner) -> Array {
        losses::cross_entropy(&learner.logits(&self.inputs), &self.targets)
    }

    /// Share of predictions that are right.
    pub fn accuracy(&self, learner: &Learner) -> f64 {
        let guess = learner.logits(&self.inputs).argmax(1);
        guess.equal(&self.targets.cast(guess.dtype())).cast(DType::F64).mean_all().item()
    }
}

/// Which of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskName {
    Digits,
    Text,
    Softmax,
}

impl TaskName {
    pub const ALL: [TaskName; 3] = [TaskName::Digits, TaskName::Text, TaskName::Softmax];

    pub fn name(self) -> &'static str {
        match self {
            TaskName::Digits => "digits",
            TaskName::Text => "text",
            TaskName::Softmax => "softmax",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            TaskName::Digits => "convolutional network on digits, a fifth of the labels wrong",
            TaskName::Text => "transformer on bytes of English text",
            TaskName::Softmax => "softmax regression on digits",
        }
    }
}

enum Source {
    Images { train: Box<Dataset>, batches: Batches },
    Text(Text),
}

/// One task with its data.
pub struct Task {
    pub name: TaskName,
    source: Source,
    /// On which the training loss and its curvature are measured.
    pub train: Batch,
    /// On which accuracy is measured.
    pub test: Batch,
    stream: Stream,
}

impl Task {
    pub fn new(name: TaskName, seed: u64) -> Result<Task, Error> {
        let stream = Stream::new(seed).child(name.name());
        match name {
            TaskName::Digits => Task::images(name, 0.2, stream),
            TaskName::Softmax => Task::images(name, 0.0, stream),
            TaskName::Text => Task::text(stream),
        }
    }

    fn images(name: TaskName, noise: f64, stream: Stream) -> Result<Task, Error> {
        let data = Dataset::bundled("digits").map_err(Error::other)?.cast(DType::F32);
        let (train, test) = data.train_test(0.25, &stream.child("split")).map_err(Error::other)?;
        let noisy = label_noise(&train.targets, noise, 10, &stream.child("label noise"))
            .map_err(Error::other)?;
        let train = train.with_targets(noisy.labels).map_err(Error::other)?;
        let batches = Batches::new(train.len(), IMAGES).map_err(Error::other)?.shuffled(&stream);
        let whole =
            |data: &Dataset| Batch { inputs: data.inputs.clone(), targets: data.targets.clone() };
        Ok(Task {
            name,
            train: whole(&train),
            test: whole(&test),
            source: Source::Images { train: Box::new(train), batches },
            stream,
        })
    }

    fn text(stream: Stream) -> Result<Task, Error> {
        let text = Text::bundled("topics").map_err(Error::other)?;
        let (train, test) = text.train_test(0.1).map_err(Error::other)?;
        let measured = |text: &Text| {
            let windows = text.spread_windows(MEASURED, CONTEXT).map_err(Error::other)?;
            Ok::<_, Error>(Batch {
                inputs: windows.inputs,
                targets: windows.targets.reshape(&[-1]),
            })
        };
        Ok(Task {
            name: TaskName::Text,
            train: measured(&train)?,
            test: measured(&test)?,
            source: Source::Text(train),
            stream,
        })
    }

    /// The model before the first step: the same for every arm.
    pub fn start(&self) -> Learner {
        let stream = self.stream.child("init");
        match self.name {
            TaskName::Digits => {
                let config = SmallConvNetConfig {
                    channels: 1,
                    size: 8,
                    classes: 10,
                    widths: [8, 16],
                    hidden: 32,
                    batch_norm: false,
                    ..SmallConvNetConfig::default()
                };
                Learner::Conv(Box::new(config.build(&stream)))
            }
            TaskName::Softmax => Learner::Linear(MlpConfig::new(&[64, 10]).build(&stream)),
            TaskName::Text => {
                let config = GptConfig {
                    vocabulary: VOCABULARY as usize,
                    context: CONTEXT,
                    width: 64,
                    depth: 2,
                    heads: 4,
                    dropout: 0.0,
                };
                Learner::Transformer(Box::new(config.build(&stream)))
            }
        }
    }

    /// The batch of a step: the same for every arm.
    pub fn batch(&self, step: u64) -> Result<Batch, Error> {
        match &self.source {
            Source::Images { train, batches } => {
                let part = train.select(&batches.at(step).indices);
                Ok(Batch { inputs: part.inputs, targets: part.targets })
            }
            Source::Text(text) => {
                let stream = self.stream.child("windows").at(step);
                let windows = text.windows(WINDOWS, CONTEXT, &stream).map_err(Error::other)?;
                Ok(Batch { inputs: windows.inputs, targets: windows.targets.reshape(&[-1]) })
            }
        }
    }

    /// Where the Lanczos iteration starts.
    pub fn lanczos_stream(&self) -> Stream {
        self.stream.child("lanczos")
    }
}
