//! Batches whose size the optimizer chooses, step by step.

use lisse_array::{Array, grad, per_example_grad};
use lisse_data::{GrowingBatches, Position, Selection};
use lisse_nn::losses;
use lisse_run::Error;
use lisse_run::report::{Axis, Lines, Picture};
use serde::{Deserialize, Serialize};

use crate::adaptive_batch::{
    Controller, FLAWED, LayerTrace, Part, Question, Spread, Test, rows, spread_of_layers,
    trace_conv_net, trace_mlp,
};
use crate::recipes::classify::{BatchOracle, Config, Network};
use crate::{Flat, StepInfo};

/// What a training has drawn.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Drawn {
    position: Position,
    /// Examples drawn before, and the size from there on, whenever it changed.
    sizes: Vec<(u64, u64)>,
}

impl Drawn {
    /// The next batch.
    pub fn draw(&mut self, batches: &GrowingBatches, size: usize) -> Selection {
        let before = self.position.examples;
        let selection = batches.draw(&mut self.position, size);
        let size = selection.indices.len() as u64;
        if self.size() != size {
            self.sizes.push((before, size));
        }
        selection
    }

    /// Examples drawn so far.
    pub fn examples(&self) -> u64 {
        self.position.examples
    }

    /// The size of the last batch; 0 before the first.
    pub fn size(&self) -> u64 {
        self.sizes.last().map_or(0, |&(_, size)| size)
    }

    /// Whether the last batch ended an epoch of so many examples.
    pub fn ended_epoch(&self, examples: usize) -> bool {
        let (after, epoch) = (self.position.examples, examples as u64);
        after / epoch > after.saturating_sub(self.size()) / epoch
    }

    /// Sizes over the examples drawn, as corners of steps.
    fn path(&self) -> Vec<(f64, f64)> {
        let ends = self.sizes.iter().skip(1).map(|&(at, _)| at).chain([self.position.examples]);
        let corners = |(&(start, size), end): (&(u64, u64), u64)| {
            [(start as f64, size as f64), (end as f64, size as f64)]
        };
        self.sizes.iter().zip(ends).flat_map(corners).collect()
    }
}

/// Batch sizes of arms against the examples that they have used; `None` where no batch ever changed.
pub fn picture<'a>(arms: impl IntoIterator<Item = (&'a str, &'a Drawn)>) -> Option<Lines> {
    let mut lines = Picture::lines(
        "Batch sizes",
        Axis::new("examples used"),
        Axis::new("examples in a batch").log(),
    );
    let mut any = false;
    for (name, drawn) in arms.into_iter().filter(|(_, drawn)| !drawn.sizes.is_empty()) {
        any = true;
        lines = lines.series(name, drawn.path());
    }
    any.then_some(lines)
}

/// The recipe with what its adaptive batch left out, for so many training examples.
pub fn sized(config: &Config, examples: usize) -> Result<Config, Error> {
    let mut config = config.clone();
    let given = config.training.batch_size;
    if let Some(controller) = &mut config.method.adaptive_batch {
        *controller = fitted(controller, given, examples)?;
        config.training.batch_size = controller.initial();
    }
    Ok(config)
}

/// The controller with what it left out, for batches out of so many examples.
///
/// # Errors
/// Sizes that the examples do not allow.
pub fn fitted(c: &Controller, batch_size: usize, examples: usize) -> Result<Controller, Error> {
    let fail = |problem: String| Err(Error::message(problem));
    let initial = c.initial.unwrap_or(batch_size);
    let largest = c.largest.unwrap_or(examples);
    if initial < 2 {
        return fail(format!(
            "training.batch_size: adaptive batches start from at least 2 examples, not {initial}: one gradient has no variance"
        ));
    }
    if largest > examples {
        return fail(format!(
            "method.adaptive_batch.largest: a batch cannot grow past the data set: {largest} is more than its {examples} training examples"
        ));
    }
    if initial > largest {
        return fail(format!(
            "method.adaptive_batch: a first batch of {initial} examples is larger than the largest, {largest}"
        ));
    }
    if let Test::Stages { sizes } = &c.test
        && let Some(size) = sizes.iter().find(|&&size| size > largest)
    {
        return fail(format!(
            "method.adaptive_batch.test.sizes: {size} is more than the largest batch, {largest}"
        ));
    }
    Ok(Controller { initial: Some(initial), largest: Some(largest), ..c.clone() })
}

/// What to tell of a gradient that is not finite.
pub fn flaw(info: &StepInfo, selection: &Selection) -> Option<String> {
    let (_, place) = info.metrics.iter().find(|(name, _)| *name == FLAWED)?;
    let example = selection.indices.get(*place as usize)?;
    Some(format!(
        "step {}: the gradient of training example {example} is not finite; the batch keeps its size",
        selection.step + 1
    ))
}

fn traces(net: &Network, batch: &BatchOracle<'_>) -> Option<Vec<LayerTrace>> {
    let loss = |logits: &Array| losses::cross_entropy(logits, &batch.targets);
    let inputs = &batch.inputs;
    match net {
        Network::Conv(net) => trace_conv_net(net, inputs, loss),
        Network::Mlp(net) => trace_mlp(net, &inputs.reshape(&[inputs.dim(0) as isize, -1]), loss),
    }
}

/// How the gradients of a batch's examples spread: from what the layers saw, and one by one where that cannot tell.
pub fn spread_of_batch(
    batch: &BatchOracle<'_>,
    params: &Network,
    gradient: &Network,
    Question { wanted, parts }: Question,
) -> Spread {
    let part = Part { examples: batch.inputs.dim(0), before: batch.before, ranks: batch.ranks };
    let flat = Flat::of(params);
    let mean = flat.gather(gradient);
    let rows_of = |x: &Array, range: &std::ops::Range<usize>| x.narrow(0, range.start, range.len());
    if let Some(parts) = parts {
        return part.of_parts(&mean, wanted, parts, |range| {
            let (inputs, targets) =
                (rows_of(&batch.inputs, &range), rows_of(&batch.targets, &range));
            let loss = |net: &Network| {
                let logits = net.forward(&inputs, &batch.context.child("pass"));
                losses::cross_entropy(&logits, &targets)
            };
            flat.gather(&grad(loss)(params))
        });
    }
    // A rank without examples has nothing to trace: then no rank does.
    if batch.batch_size >= batch.ranks.size()
        && let Some(layers) = traces(params, batch)
        && let Some(spread) = spread_of_layers(&layers, gradient, wanted, batch.before, batch.ranks)
    {
        return spread;
    }
    part.of_examples(&mean, wanted, |range| {
        let loss = |net: &Network, i: usize| batch.example_loss(net, range.start + i);
        rows(&flat, &per_example_grad(loss, params, range.len()))
    })
}

#[cfg(test)]
mod tests {
    use lisse_array::Stream;

    use super::*;

    #[test]
    fn sizes_are_told_where_they_change_and_epochs_where_they_end() {
        let batches = GrowingBatches::new(10, &Stream::new(0)).unwrap();
        let mut drawn = Drawn::default();
        let ended: Vec<bool> = [4, 4, 4, 8, 10]
            .map(|size| {
                drawn.draw(&batches, size);
                drawn.ended_epoch(10)
            })
            .to_vec();
        assert_eq!(ended, [false, false, true, true, true]);
        let path = [(0., 4.), (12., 4.), (12., 8.), (20., 8.), (20., 10.), (30., 10.)];
        assert_eq!(drawn.path(), path);
        assert!(picture([("", &Drawn::default())]).is_none());
        assert!(picture([("", &drawn)]).is_some());
    }

    mod training {
        use std::sync::OnceLock;

        use lisse_array::{Array, DType, Device, Stream, Tree};
        use lisse_data::Dataset;
        use lisse_nn::Context;
        use lisse_nn::models::MlpConfig;
        use lisse_run::{Arm, Ranks, RecipeKind, Setup, rehearse};

        use crate::adaptive_batch::{Controller, Question, Spread, Wanted};
        use crate::optimizer::Oracle;
        use crate::recipes::classify::{BatchOracle, Classify, Config, Network};

        fn config(batch_size: usize, method: &str) -> Config {
            let text = format!(
                r#"{{"data": {{"name": "iris"}}, "model": {{"name": "mlp", "hidden": []}},
                "method": {{"optimizer": {{"name": "adagrad", "learning_rate": 0.1}} {method}}},
                "training": {{"epochs": 6, "batch_size": {batch_size}, "dtype": "f64"}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        }

        fn train(config: Config) -> Result<lisse_run::Rehearsal, lisse_run::Error> {
            let setup = Setup {
                name: String::new(),
                seed: 0,
                device: Device::Cpu,
                quick: false,
                ranks: Ranks::alone(),
            };
            let arms = vec![Arm { name: String::new(), config }];
            rehearse(&Classify.experiment(&setup, arms)?)
        }

        #[test]
        fn a_controller_that_never_grows_is_the_fixed_training_bit_for_bit() {
            // 112 training examples: a fixed size that divides them leaves no remainder to treat differently.
            let fixed = train(config(112, "")).unwrap();
            let still = r#", "adaptive_batch": {"test": {"name": "norm"}, "initial": 112}"#;
            let adaptive = train(config(8, still)).unwrap();
            for figure in ["test_accuracy", "train_loss", "steps"] {
                assert_eq!(fixed.figures[figure], adaptive.figures[figure], "{figure}");
            }
            assert_eq!(fixed.rows.len(), 6);
        }

        #[test]
        fn batches_grow_and_the_examples_are_the_budget() {
            let grows = r#", "adaptive_batch": {"test": {"name": "norm", "eta": 0.5}}"#;
            let run = train(config(4, grows)).unwrap();
            let sizes: Vec<f64> =
                run.rows.iter().map(|r| r.metrics["train.batch_size"].0).collect();
            assert_eq!(sizes[0], 4.0);
            assert!(sizes.is_sorted() && sizes.last() > sizes.first());
            let used = run.rows.last().unwrap().metrics["train.examples"].0;
            assert_eq!(used, sizes.iter().sum::<f64>());
            assert!(used >= 672.0 && used < 672.0 + sizes.last().unwrap());
            assert!(run.pictures.contains_key("batch-sizes"));
            assert_eq!(run.figures["last_batch_size"].0, *sizes.last().unwrap());
        }

        #[test]
        fn what_the_data_do_not_allow_is_refused() {
            let refusal = |batch_size, controller: &str| {
                let method = format!(r#", "adaptive_batch": {controller}"#);
                train(config(batch_size, &method)).expect_err("refused").to_string()
            };
            let large = refusal(8, r#"{"test": {"name": "norm"}, "largest": 500}"#);
            assert!(
                large.contains("cannot grow past the data set: 500 is more than its 112"),
                "{large}"
            );
            assert!(refusal(1, r#"{"test": {"name": "norm"}}"#).contains("at least 2 examples"));
            let stages = r#"{"test": {"name": "stages", "sizes": [8, 400]}}"#;
            assert!(refusal(8, stages).contains("400 is more than the largest batch, 112"));
            assert!(
                refusal(64, r#"{"test": {"name": "norm"}, "largest": 32}"#)
                    .contains("first batch of 64")
            );
        }

        fn five_points(bad: f64) -> (Network, Dataset) {
            let stream = Stream::new(0);
            let network = Network::Mlp(MlpConfig::new(&[3, 4, 2]).build(&stream));
            let mut values = stream.child("x").normal(&[5, 3], DType::F64).to_vec::<f64>();
            values[7] += bad;
            let targets = Array::from_slice(&[0i64, 1, 1, 0, 1], &[5]);
            let data = Dataset::new("five points", Array::from_vec(values, &[5, 3]), targets);
            (network.map(|leaf| leaf.cast(DType::F64)), data.unwrap())
        }

        fn measured(
            network: &Network,
            data: &Dataset,
            ranks: &Ranks,
            question: Question,
        ) -> Spread {
            let share = ranks.share(5);
            let context = Context::eval();
            let part = data.select(&share.clone().collect::<Vec<_>>());
            let mut oracle = BatchOracle {
                inputs: part.inputs,
                targets: part.targets,
                batch_size: 5,
                before: share.start,
                context: &context,
                stream: Stream::new(0),
                ranks,
                train: data,
                indices: &[0, 1, 2, 3, 4],
                whole: OnceLock::new(),
            };
            let gradient = oracle.value_and_grad(network).1;
            oracle.gradient_spread(network, &gradient, question).unwrap()
        }

        #[test]
        fn ranks_measure_what_one_does() {
            let (network, data) = five_points(0.0);
            for wanted in [Wanted::Numbers, Wanted::Coordinates] {
                for parts in [None, Some(5)] {
                    let question = Question { wanted, parts };
                    let alone = measured(&network, &data, &Ranks::alone(), question);
                    let many =
                        Ranks::threads(2, |ranks| measured(&network, &data, &ranks, question));
                    assert_eq!(many[0].total.to_bits(), many[1].total.to_bits());
                    if parts.is_none() {
                        assert!((many[0].total / alone.total - 1.0).abs() < 1e-9);
                        let need = |s: &Spread| match wanted {
                            Wanted::Numbers => Controller::augmented(0.1, 0.1, 2, 9).need(s),
                            Wanted::Coordinates => Controller::coordinate(0.1, 2, 9).need(s),
                        };
                        assert!((need(&many[1]) / need(&alone) - 1.0).abs() < 1e-6);
                    }
                }
            }
        }

        #[test]
        fn an_example_without_a_finite_gradient_is_named() {
            let (network, data) = five_points(1e308);
            let question = Question { wanted: Wanted::Numbers, parts: None };
            assert_eq!(measured(&network, &data, &Ranks::alone(), question).flawed, Some(2));
            let many = Ranks::threads(2, |ranks| measured(&network, &data, &ranks, question));
            assert_eq!(many.iter().map(|s| s.flawed).collect::<Vec<_>>(), [Some(2); 2]);
        }
    }
}
