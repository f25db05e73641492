//! What is learnt: where batches come from, what their loss is, what is measured.

use lisse_array::{Array, DType, Stream, Tree};
use lisse_data::{Batches, Dataset};
use lisse_nn::losses::{Reduction, bce_with_logits};
use lisse_nn::models::{Mlp, MlpConfig};
use lisse_nn::{Activation, Context, Model};
use lisse_run::Error;
use serde::{Deserialize, Serialize};

use super::pendulum::{Expert, roll_out, starts};
use crate::{NewtonCg, Options, minimize};

/// What is learnt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskConfig {
    /// Two groups of a data set's classes, told apart by the mean logistic loss. Inputs of images are their pixels, other inputs are
    /// standardised.
    Binary {
        /// A bundled data set with classes.
        data: String,
        /// The classes of one group.
        positive: Vec<i64>,
        /// Examples per call; all if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch_size: Option<usize>,
        /// Widths of hidden layers with tanh between; none for logistic regression.
        #[serde(default)]
        hidden: Vec<usize>,
    },
    /// `y = A x` with a badly conditioned `A` of shape 10 x 6, learnt by a product of one or two matrices with squared errors.
    Factorisation {
        /// Columns of the first matrix; none for one matrix.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rank: Option<usize>,
        /// Examples per call; all 1000 if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch_size: Option<usize>,
    },
    /// An expert's torques on the pendulum states that the learner visits, learnt by squared errors.
    Pendulum {
        /// States per call.
        #[serde(default = "states")]
        states: usize,
        /// Rollouts that they come from.
        #[serde(default = "rollouts")]
        rollouts: usize,
        /// Share of the expert in the torques of the rollouts after the first.
        #[serde(default)]
        mixing: f64,
        /// Widths of hidden layers with tanh between; none for a linear policy.
        #[serde(default)]
        hidden: Vec<usize>,
    },
}

fn states() -> usize {
    200
}
fn rollouts() -> usize {
    4
}

/// Rollouts and their steps by which a policy is judged.
const JUDGED: (usize, usize) = (20, 200);
/// Examples of the factorisation.
const FACTORED: usize = 1000;

/// A task with its data.
#[derive(Clone)]
pub enum Task {
    /// A data set.
    Fixed(Box<Fixed>),
    /// Rollouts and an expert.
    Rollouts { expert: Expert, states: usize, rollouts: usize, mixing: f64, stream: Stream },
}

/// A data set that is there from the start.
#[derive(Clone)]
pub struct Fixed {
    /// Targets are `[n, outputs]`.
    data: Dataset,
    /// Whether the loss is logistic, else it is the squared error.
    logistic: bool,
    batches: Batches,
    /// The least loss, 0 if it is not known.
    minimum: f64,
}

/// Rows for one call of the oracle.
pub struct Rows {
    pub inputs: Array,
    pub targets: Array,
    /// Which examples of a fixed data set they are.
    pub ids: Option<Vec<usize>>,
}

impl TaskConfig {
    /// Names of what [`Task::measure`] measures.
    pub fn figures(&self) -> &'static [&'static str] {
        match self {
            TaskConfig::Binary { .. } => &["gap", "loss", "accuracy"],
            TaskConfig::Factorisation { .. } => &["gap", "loss"],
            TaskConfig::Pendulum { hidden, .. } if hidden.is_empty() => {
                &["action_error", "upright", "gain_error"]
            }
            TaskConfig::Pendulum { .. } => &["action_error", "upright"],
        }
    }

    /// The data.
    pub fn load(&self, stream: Stream) -> Result<Task, Error> {
        match self {
            TaskConfig::Binary { data, positive, batch_size, hidden } => {
                let data = binary(data, positive)?;
                let batches = batches(data.len(), *batch_size, &stream)?;
                // Networks have no minimum to compare with: their gap is the loss.
                let minimum = if hidden.is_empty() { least_logistic_loss(&data)? } else { 0.0 };
                Ok(Task::Fixed(Box::new(Fixed { data, logistic: true, batches, minimum })))
            }
            TaskConfig::Factorisation { batch_size, .. } => {
                let data = factorisation(stream)?;
                let batches = batches(data.len(), *batch_size, &stream)?;
                Ok(Task::Fixed(Box::new(Fixed { data, logistic: false, batches, minimum: 0.0 })))
            }
            TaskConfig::Pendulum { states, rollouts, mixing, .. } => Ok(Task::Rollouts {
                expert: Expert::new(),
                states: *states,
                rollouts: *rollouts,
                mixing: *mixing,
                stream: stream.child("rollouts"),
            }),
        }
    }

    /// The model before the first call: zeros if it is linear.
    pub fn model(&self, task: &Task, stream: &Stream) -> Mlp {
        let (inputs, outputs) = task.sizes();
        let (hidden, activation) = match self {
            TaskConfig::Binary { hidden, .. } | TaskConfig::Pendulum { hidden, .. } => {
                (hidden.clone(), Activation::Tanh)
            }
            TaskConfig::Factorisation { rank, .. } => {
                (rank.iter().copied().collect(), Activation::Identity)
            }
        };
        let sizes = [vec![inputs], hidden, vec![outputs]].concat();
        let mut model = MlpConfig::new(&sizes).activation(activation).build(&stream.child("init"));
        if matches!(self, TaskConfig::Factorisation { .. }) {
            for layer in &mut model.layers {
                layer.bias = None;
            }
        }
        let model = model.map(|leaf| leaf.cast(DType::F64));
        if model.layers.len() == 1 { model.zeros_like() } else { model }
    }
}

fn batches(examples: usize, size: Option<usize>, stream: &Stream) -> Result<Batches, Error> {
    match size {
        None => Batches::new(examples, examples),
        Some(size) => Batches::new(examples, size).map(|batches| batches.shuffled(stream)),
    }
    .map_err(Error::other)
}

fn binary(name: &str, positive: &[i64]) -> Result<Dataset, Error> {
    let data = Dataset::bundled(name).map_err(Error::other)?;
    let labels = data.labels().map_err(Error::other)?;
    if let Some(unknown) = positive.iter().find(|class| !labels.contains(class)) {
        return Err(Error::message(format!("task.positive: `{name}` has no class {unknown}")));
    }
    let targets: Vec<f64> =
        labels.iter().map(|label| f64::from(u8::from(positive.contains(label)))).collect();
    let rows = data.len() as isize;
    let inputs = data.inputs.cast(DType::F64).reshape(&[rows, -1]);
    let inputs = if data.inputs.rank() == 4 {
        inputs
    } else {
        let scale = lisse_data::Standardizer::fit(&inputs).map_err(Error::other)?;
        scale.apply(&inputs).map_err(Error::other)?
    };
    let targets = Array::from_vec(targets, &[labels.len(), 1]);
    Dataset::new(name, inputs, targets).map_err(Error::other)
}

fn factorisation(stream: Stream) -> Result<Dataset, Error> {
    let scales = Array::linspace(1.0, 1e-10, 10, DType::F64).unsqueeze(1);
    let matrix = scales * stream.child("matrix").uniform(&[10, 6], DType::F64);
    let inputs = stream.child("inputs").normal(&[FACTORED, 6], DType::F64);
    let targets = inputs.matmul(&matrix.t());
    Dataset::new("factorisation", inputs, targets).map_err(Error::other)
}

/// The least mean logistic loss of a linear model.
fn least_logistic_loss(data: &Dataset) -> Result<f64, Error> {
    let loss = |(w, b): &(Array, Array)| {
        bce_with_logits(&(data.inputs.matmul(w) + b), &data.targets, Reduction::Mean)
    };
    let start = (Array::zeros(&[data.inputs.dim(1), 1], DType::F64), Array::scalar(0.0f64));
    let options = Options { gradient_tolerance: 1e-10, ..Options::default() };
    let best = minimize(loss, &start, &NewtonCg::default(), &options).map_err(Error::other)?;
    Ok(best.value)
}

/// Outputs of the model.
pub fn forward(model: &Mlp, inputs: &Array) -> Array {
    model.forward(inputs, &Context::eval())
}

impl Task {
    fn sizes(&self) -> (usize, usize) {
        match self {
            Task::Fixed(fixed) => (fixed.data.inputs.dim(1), fixed.data.targets.dim(1)),
            Task::Rollouts { .. } => (2, 1),
        }
    }

    /// Examples of a fixed data set.
    pub fn examples(&self) -> Option<usize> {
        match self {
            Task::Fixed(fixed) => Some(fixed.data.len()),
            Task::Rollouts { .. } => None,
        }
    }

    /// Batches in a pass over a fixed data set.
    pub fn per_epoch(&self) -> u64 {
        match self {
            Task::Fixed(fixed) => fixed.batches.per_epoch() as u64,
            Task::Rollouts { .. } => 1,
        }
    }

    /// All rows of a fixed data set.
    pub fn all(&self) -> Option<Rows> {
        match self {
            Task::Fixed(fixed) => {
                let data = &fixed.data;
                Some(Rows { inputs: data.inputs.clone(), targets: data.targets.clone(), ids: None })
            }
            Task::Rollouts { .. } => None,
        }
    }

    /// Rows for the call of a step.
    pub fn rows(&self, step: u64, model: &Mlp) -> Rows {
        match self {
            Task::Fixed(fixed) => {
                let indices = fixed.batches.at(step).indices;
                let part = fixed.data.select(&indices);
                Rows { inputs: part.inputs, targets: part.targets, ids: Some(indices) }
            }
            Task::Rollouts { expert, states, rollouts, mixing, stream } => {
                let share = if step == 0 { 1.0 } else { *mixing };
                let policy =
                    |s: &Array| expert.torques(s) * share + forward(model, s) * (1.0 - share);
                let starts = starts(*rollouts, &stream.at(step));
                let inputs = roll_out(&policy, &starts, states.div_ceil(*rollouts)).states;
                let inputs = inputs.narrow(0, 0, *states);
                let targets = expert.torques(&inputs);
                Rows { inputs, targets, ids: None }
            }
        }
    }

    /// The loss of outputs: a mean over rows.
    pub fn loss(&self, outputs: &Array, targets: &Array) -> Array {
        match self {
            Task::Fixed(fixed) if fixed.logistic => {
                bce_with_logits(outputs, targets, Reduction::Mean)
            }
            _ => (outputs - targets).square().sum(&[-1]).mean_all(),
        }
    }

    /// How good a model is: first what the curves show, then the rest, in the order of [`TaskConfig::figures`].
    pub fn measure(&self, model: &Mlp) -> Vec<f64> {
        match self {
            Task::Fixed(fixed) => {
                let Fixed { data, logistic, minimum, .. } = &**fixed;
                let outputs = forward(model, &data.inputs);
                let loss = self.loss(&outputs, &data.targets).item();
                if !logistic {
                    return vec![loss, loss];
                }
                let guess = outputs.greater(&outputs.zeros_like()).cast(DType::F64);
                let right = guess.equal(&data.targets).cast(DType::F64).mean_all().item();
                vec![loss - minimum, loss, right]
            }
            Task::Rollouts { expert, stream, .. } => {
                let policy = |s: &Array| forward(model, s);
                let starts = starts(JUDGED.0, &stream.child("judged"));
                let rollout = roll_out(&policy, &starts, JUDGED.1);
                let error = forward(model, &rollout.states) - expert.torques(&rollout.states);
                let mut measured = vec![error.square().mean_all().item(), rollout.upright];
                if let [layer] = &model.layers[..] {
                    let gain = Array::from_slice(&expert.gain, &[1, 2]);
                    let bias = layer.bias.as_ref().map_or(0.0, Tree::norm);
                    measured.push((&layer.weight + gain).norm().hypot(bias));
                }
                measured
            }
        }
    }
}
