//! Optimizers against each other where calls of an oracle are dear and passes of the model are cheap.

mod method;
mod pendulum;
mod task;

use std::time::Instant;

use lisse_array::{Stream, Tree};
use lisse_data::{BUNDLED, Bundled};
use lisse_nn::models::Mlp;
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Method, Process, RecipeEntry, RecipeKind,
    Setup, Step, Stop, Watch, recipe,
};
use serde::{Deserialize, Serialize};

use method::{MethodConfig, MethodState, Spent};
use task::{Task, TaskConfig, forward};

/// The recipes of this kind.
pub const SURROGATE_RECIPES: [RecipeEntry; 2] = [
    recipe!(
        "sso-supervised",
        "Surrogates in the space of outputs against gradient descent, by calls of the loss"
    ),
    recipe!("sso-imitation", "Imitating an expert on a pendulum with few questions"),
];

/// The method behind them.
pub const SURROGATE_METHOD: Method = Method {
    slug: "target-surrogates",
    title: "Target-based surrogates (SSO)",
    paper: "Target-based Surrogates for Stochastic Optimization",
    arxiv: Some("2302.02607"),
    authors: "Jonathan Wilder Lavington, Sharan Vaswani, Reza Babanezhad, Mark Schmidt, Nicolas Le Roux",
    year: 2023,
    field: "training",
    summary: "Many cheap steps of the model on a surrogate in the space of outputs per call of an expensive loss",
    recipes: &["sso-supervised", "sso-imitation"],
    bibtex: "@inproceedings{lavington2023target,\n  title = {Target-based Surrogates for Stochastic Optimization},\n  author = {Lavington, Jonathan Wilder and Vaswani, Sharan and Babanezhad, Reza and Schmidt, Mark and Le Roux, Nicolas},\n  booktitle = {International Conference on Machine Learning},\n  year = {2023}\n}",
};

/// `kind = "surrogate"`: every arm learns the same task with its own optimizer and the same number of calls of the oracle.
pub struct SurrogateRace;

/// The schema of such a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What is learnt.
    pub task: TaskConfig,
    /// By which optimizer.
    pub method: MethodConfig,
    /// Calls of the oracle: gradients of the loss of a batch.
    pub calls: u64,
    /// What a call is taken to cost in the picture of costs, in passes of the model.
    #[serde(default = "call_cost")]
    pub call_cost: f64,
    /// Steps between two measurements.
    #[serde(default = "every")]
    pub measure_every: u64,
}

fn call_cost() -> f64 {
    100.0
}
fn every() -> u64 {
    1
}

/// Figures of every task.
const COSTS: [&str; 5] = ["calls", "loss_values", "forward_passes", "backward_passes", "seconds"];

impl RecipeKind for SurrogateRace {
    type Config = Config;

    fn name(&self) -> &'static str {
        "surrogate"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        check(config.calls > 0, "calls", "at least 1")?;
        check(config.measure_every > 0, "measure_every", "at least 1")?;
        let cost = config.call_cost;
        check(cost >= 0.0 && cost.is_finite(), "call_cost", "a number of at least 0")?;
        match &config.task {
            TaskConfig::Binary { data, positive, batch_size, hidden } => {
                if Bundled::find(data).is_err() {
                    let names = BUNDLED.map(|set| set.name).join(", ");
                    return Err(Invalid::new("task.data", format!("a bundled data set ({names})")));
                }
                check(!positive.is_empty(), "task.positive", "at least one class")?;
                check(*batch_size != Some(0), "task.batch_size", "at least 1")?;
                check(!hidden.contains(&0), "task.hidden", "at least 1 each")?;
            }
            TaskConfig::Factorisation { rank, batch_size } => {
                check(*rank != Some(0), "task.rank", "at least 1")?;
                check(*batch_size != Some(0), "task.batch_size", "at least 1")?;
            }
            TaskConfig::Pendulum { states, rollouts, mixing, hidden } => {
                check(*states > 0, "task.states", "at least 1")?;
                let good = *rollouts > 0 && rollouts <= states;
                check(good, "task.rollouts", "at least 1, at most the number of states")?;
                let good = (0.0..=1.0).contains(mixing);
                check(good, "task.mixing", "a number from 0 to 1")?;
                check(!hidden.contains(&0), "task.hidden", "at least 1 each")?;
                let expected = "a method that does not need a fixed data set";
                check(!config.method.needs_fixed_data(), "method", expected)?;
            }
        }
        config
            .method
            .validate()
            .map_err(|bad| Invalid::new(format!("method.{}", bad.key), bad.expected))
    }

    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Config>>,
    ) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut entries = Vec::new();
        for arm in arms {
            entries.push((arm.name.clone(), arm.config.clone()));
            experiment = experiment.arm(arm.name, Learning::new(arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        Some(config.task.figures().iter().chain(&COSTS).map(ToString::to_string).collect())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        let learning = Learning::new(arm.config, setup.seed)?;
        let model = learning.initial();
        let rows = learning.task.rows(0, &model);
        let count = rows.inputs.dim(0).min(8);
        let (inputs, targets) = (rows.inputs.narrow(0, 0, count), rows.targets.narrow(0, 0, count));
        let loss = move |m: &Mlp| learning.task.loss(&forward(m, &inputs), &targets);
        Ok(vec![Audit::new("loss of a call", model, loss)])
    }
}

/// One arm.
struct Learning {
    config: Config,
    task: Task,
    stream: Stream,
}

/// Where it stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
struct LearningState {
    model: Mlp,
    method: MethodState,
    #[tree(skip)]
    step: u64,
    #[tree(skip)]
    spent: Spent,
    #[tree(skip)]
    path: Vec<Mark>,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mark {
    calls: f64,
    passes: f64,
    /// The task's first figure.
    value: f64,
}

impl Learning {
    fn new(config: Config, seed: u64) -> Result<Learning, Error> {
        let stream = Stream::new(seed);
        Ok(Learning { task: config.task.load(stream)?, config, stream })
    }

    fn initial(&self) -> Mlp {
        self.config.task.model(&self.task, &self.stream)
    }

    fn mark(&self, state: &mut LearningState) -> f64 {
        let value = self.task.measure(&state.model)[0];
        let passes = state.spent.forward + state.spent.backward;
        state.path.push(Mark { calls: state.spent.calls, passes, value });
        value
    }
}

impl Process for Learning {
    type State = LearningState;

    fn start(&self) -> Result<LearningState, Error> {
        let model = self.initial();
        let method = self.config.method.start(&model);
        let mut state =
            LearningState { model, method, step: 0, spent: Spent::default(), path: Vec::new() };
        self.mark(&mut state);
        Ok(state)
    }

    fn advance(&self, state: &mut LearningState, watch: &mut Watch) -> Result<Step, Error> {
        let rows = self.task.rows(state.step, &state.model);
        let clock = Instant::now();
        let loss = self.config.method.step(
            &mut state.model,
            &mut state.method,
            &mut state.spent,
            &self.task,
            rows,
            self.config.calls,
        );
        state.spent.seconds += clock.elapsed().as_secs_f64();
        state.step += 1;
        let done = state.spent.calls >= self.config.calls as f64;
        watch.metric("train.loss", loss);
        if done || state.step.is_multiple_of(self.config.measure_every) {
            watch.metric(self.config.task.figures()[0], self.mark(state));
        }
        Ok(if done { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &LearningState, watch: &mut Watch) -> Result<(), Error> {
        for (name, value) in self.config.task.figures().iter().zip(self.task.measure(&state.model))
        {
            watch.figure(name, value);
        }
        let spent = state.spent;
        let costs = [spent.calls, spent.values, spent.forward, spent.backward, spent.seconds];
        for (name, value) in COSTS.iter().zip(costs) {
            watch.figure(name, value);
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.calls)
    }
}

/// An arm's curve, and what it is of.
struct Curve<'a> {
    name: &'a str,
    config: &'a Config,
    path: &'a [Mark],
}

impl Curve<'_> {
    /// What was spent when the value was first this low.
    fn reached(&self, value: f64) -> Option<Mark> {
        self.path.iter().find(|mark| mark.value <= value).copied()
    }

    fn last(&self) -> f64 {
        self.path.last().map_or(f64::NAN, |mark| mark.value)
    }
}

fn conclude(
    arms: &[(String, Config)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let curves: Vec<Curve<'_>> = arms
        .iter()
        .filter_map(|(name, config)| {
            let path = &finals.state::<Learning>(name)?.path;
            Some(Curve { name, config, path })
        })
        .collect();
    let mut groups: Vec<(String, Vec<&Curve<'_>>)> = Vec::new();
    for curve in &curves {
        let title = title(&curve.config.task);
        match groups.iter_mut().find(|(t, _)| *t == title) {
            Some((_, members)) => members.push(curve),
            None => groups.push((title, vec![curve])),
        }
    }
    let mut table = Table::new(
        "What was reached, and what it took",
        ["task", "arm", "value", "calls", "passes of the model", "seconds", "pays off at"],
    );
    for (i, (title, members)) in groups.iter().enumerate() {
        pictures(i, title, members, watch)?;
        for curve in members {
            let figure =
                |f: &str| finals.figure(&format!("{}.{f}", curve.name)).unwrap_or(f64::NAN);
            let pays = break_even(curve, members).map_or(Cell::from(""), Cell::from);
            table = table.row([
                Cell::from(title.as_str()),
                Cell::from(curve.name),
                Cell::from(curve.last()),
                Cell::from(figure("calls")),
                Cell::from(figure("forward_passes") + figure("backward_passes")),
                Cell::from(figure("seconds")),
                pays,
            ]);
        }
    }
    let caption = "Pays off at: how many passes of the model a call has to cost for a surrogate to reach the value of the best \
                   gradient method of its group at less cost; empty if it does not reach it.";
    watch.table("costs", table.caption(caption))
}

/// The cost of a call, in passes of the model, above which a surrogate reaches the best other arm's last value more cheaply. With
/// calls `c` and passes `p` of the two that is `(p - p') / (c' - c)`.
fn break_even(curve: &Curve<'_>, group: &[&Curve<'_>]) -> Option<f64> {
    if !curve.config.method.is_surrogate() {
        return None;
    }
    let best = group
        .iter()
        .filter(|other| other.config.method.is_gradient_method() && other.last().is_finite())
        .min_by(|a, b| a.last().total_cmp(&b.last()))?;
    let (ours, theirs) = (curve.reached(best.last())?, best.reached(best.last())?);
    let saved = theirs.calls - ours.calls;
    (saved > 0.0).then(|| ((ours.passes - theirs.passes) / saved).max(0.0))
}

fn title(task: &TaskConfig) -> String {
    let batch = |size: &Option<usize>| match size {
        Some(size) => format!("batches of {size}"),
        None => "full batch".to_string(),
    };
    match task {
        TaskConfig::Binary { data, batch_size, .. } => format!("{data}, {}", batch(batch_size)),
        TaskConfig::Factorisation { batch_size, .. } => {
            format!("factorisation, {}", batch(batch_size))
        }
        TaskConfig::Pendulum { hidden, .. } if hidden.is_empty() => "linear policy".to_string(),
        TaskConfig::Pendulum { .. } => "network policy".to_string(),
    }
}

/// How many methods other than surrogates are drawn.
const SHOWN: usize = 4;

/// The arms that are drawn: all surrogates, and the best of the others.
fn shown<'c, 'a>(group: &[&'c Curve<'a>]) -> Vec<&'c Curve<'a>> {
    let others = group.iter().filter(|c| !c.config.method.is_surrogate());
    let mut last: Vec<f64> = others.map(|c| c.last()).filter(|v| v.is_finite()).collect();
    last.sort_by(f64::total_cmp);
    let worst = last.get(SHOWN - 1).copied().unwrap_or(f64::INFINITY);
    let drawn = |c: &&&Curve<'_>| c.config.method.is_surrogate() || c.last() <= worst;
    group.iter().filter(drawn).copied().collect()
}

fn pictures(
    number: usize,
    title: &str,
    group: &[&Curve<'_>],
    watch: &mut Watch,
) -> Result<(), Error> {
    let Some(first) = group.first() else { return Ok(()) };
    let axis = || match first.config.task {
        TaskConfig::Pendulum { .. } => Axis::new("squared error of the torque").log(),
        _ => Axis::new("loss above the least").log(),
    };
    let mut calls = Picture::lines(format!("By calls: {title}"), Axis::new("calls"), axis());
    let mut cost = Picture::lines(
        format!("By cost: {title}"),
        Axis::new("calls times their cost, plus passes").log(),
        axis(),
    );
    for curve in shown(group) {
        // A logarithmic axis has no zero.
        let points = |x: &dyn Fn(&Mark) -> f64| -> Vec<(f64, f64)> {
            curve.path.iter().map(|mark| (x(mark), mark.value.max(1e-16))).collect()
        };
        let price = curve.config.call_cost;
        calls = calls.series(curve.name, points(&|mark| mark.calls));
        let spent = points(&|mark| mark.calls * price + mark.passes);
        cost = cost.series(curve.name, spent.into_iter().filter(|(x, _)| *x > 0.0));
    }
    let price = first.config.call_cost;
    let caption = format!("A call of the oracle counts as {price} passes of the model.");
    let all = format!("Of the other methods the best {SHOWN}; all are in the table.");
    watch.picture(&format!("calls-{number}"), calls.caption(all))?;
    watch.picture(&format!("cost-{number}"), cost.caption(caption))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(task: &str, method: &str) -> Config {
        let text = format!(r#"{{"task": {task}, "method": {method}, "calls": 6}}"#);
        serde_json::from_str(&text).unwrap()
    }

    const FIXED: [&str; 3] = [
        r#"{"name": "binary", "data": "iris", "positive": [1], "batch_size": 50}"#,
        r#"{"name": "binary", "data": "wine", "positive": [0, 2], "hidden": [3]}"#,
        r#"{"name": "factorisation", "rank": 4, "batch_size": 100}"#,
    ];
    const PENDULUM: &str = r#"{"name": "pendulum", "states": 30, "rollouts": 2, "hidden": [4]}"#;
    const METHODS: [&str; 9] = [
        r#"{"name": "sso", "learning_rate": 0.5, "inner_steps": 3}"#,
        r#"{"name": "sgd", "learning_rate": 0.01, "decay": "inverse-sqrt"}"#,
        r#"{"name": "sgd", "learning_rate": 0.01, "decay": "exponential"}"#,
        r#"{"name": "sls"}"#,
        r#"{"name": "adam", "learning_rate": 0.01}"#,
        r#"{"name": "adagrad", "learning_rate": 0.01}"#,
        r#"{"name": "adagrad-norm", "learning_rate": 0.01}"#,
        r#"{"name": "gulf2", "alpha": 0.5, "inner_steps": 2}"#,
        r#"{"name": "refit", "iterations": 5}"#,
    ];
    const FIXED_ONLY: [&str; 2] = [
        r#"{"name": "svrg", "learning_rate": 0.01}"#,
        r#"{"name": "sso", "learning_rate": 1, "target_step": {"name": "diagonal-adagrad"}}"#,
    ];

    #[test]
    fn every_method_learns_every_task_within_its_calls() {
        let fixed =
            FIXED.iter().flat_map(|t| METHODS.iter().chain(&FIXED_ONLY).map(move |m| (*t, *m)));
        for (task, method) in fixed.chain(METHODS.map(|m| (PENDULUM, m))) {
            let config = read(task, method);
            assert!(SurrogateRace.validate(&config).is_ok(), "{task} {method}");
            let names = SurrogateRace.figures(&config).unwrap();
            let learning = Learning::new(config, 1).unwrap();
            let first = learning.task.measure(&learning.initial())[0];
            let done = lisse_run::rehearse(&Experiment::single(learning)).unwrap();
            assert!(names.iter().all(|n| done.figures[n].0.is_finite()), "{task} {method}");
            // A step may take several calls, so that the last may end beyond.
            let calls = done.figures["calls"].0;
            assert!((6.0..15.0).contains(&calls), "{task} {method}: {calls}");
            let last = done.figures[&names[0]].0;
            // A pendulum is judged where the learner takes it: elsewhere after each call.
            assert!(task == PENDULUM || last < first, "{task} {method}: {last} {first}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let named = |task: &str, method: &str, key: &str| {
            let bad = SurrogateRace.validate(&read(task, method)).unwrap_err();
            assert!(format!("{bad:?}").contains(&format!("\"{key}\"")), "{bad:?}");
        };
        named(PENDULUM, FIXED_ONLY[0], "method");
        named(PENDULUM, FIXED_ONLY[1], "method");
        named(FIXED[0], r#"{"name": "gulf2", "alpha": 0}"#, "method.alpha");
        named(FIXED[0], r#"{"name": "sso", "learning_rate": 0}"#, "method.learning_rate");
        let few = r#"{"name": "pendulum", "states": 3, "rollouts": 4}"#;
        named(few, METHODS[0], "task.rollouts");
        let unknown = r#"{"name": "binary", "data": "irises", "positive": [1]}"#;
        named(unknown, METHODS[0], "task.data");
        let missing = read(r#"{"name": "binary", "data": "iris", "positive": [7]}"#, METHODS[0]);
        assert!(Learning::new(missing, 0).is_err());
    }
}
