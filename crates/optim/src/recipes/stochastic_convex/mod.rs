//! Stochastic methods on convex problems of which the minimum is known: the last iterate against averages, over step sizes and seeds.

mod pictures;
mod problem;

use lisse_array::{Stream, Tree};
use lisse_run::{
    Arm, Error, Experiment, Invalid, Method, Process, RecipeEntry, RecipeKind, Setup, Step, Stop,
    Watch, recipe,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::mirror::{Mark, StochasticOracle};
use problem::{MethodConfig, ProblemConfig, averages};

/// The recipe of this kind.
pub const LAST_ITERATE_RECIPE: RecipeEntry =
    recipe!("last-iterate", "The last iterate of stochastic gradient methods against averages");

/// The method behind it.
pub const LAST_ITERATE_METHOD: Method = Method {
    slug: "last-iterate-sgd",
    title: "Composite stochastic mirror descent with last-iterate guarantees",
    paper: "Revisiting the Last-Iterate Convergence of Stochastic Gradient Methods",
    arxiv: Some("2312.08531"),
    authors: "Zijian Liu, Zhengyuan Zhou",
    year: 2024,
    field: "training",
    summary: "Step sizes whose last iterate needs no averaging; proximal terms, mirror maps, heavy-tailed noise",
    recipes: &["last-iterate"],
    bibtex: "@inproceedings{liu2024revisiting,\n  title = {Revisiting the Last-Iterate Convergence of Stochastic Gradient Methods},\n  author = {Liu, Zijian and Zhou, Zhengyuan},\n  booktitle = {International Conference on Learning Representations},\n  year = {2024}\n}",
};

/// `kind = "stochastic-convex"`: every arm is a method on a problem, with several step sizes and seeds.
pub struct StochasticConvex;

/// The schema of such a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What is minimised.
    pub problem: ProblemConfig,
    /// By which method.
    pub method: MethodConfig,
    /// Step sizes to try, one after the other.
    pub etas: Vec<f64>,
    /// The step size of the figures `last` and the averages, one of `etas`.
    pub eta: f64,
    /// Step sizes from here on count for the figure `sensitivity`.
    #[serde(default)]
    pub sensitivity_from: f64,
    /// Steps of a run.
    pub steps: u64,
    /// Runs with each step size.
    pub seeds: u64,
    /// Measurements of a run, spread evenly over the logarithm of the step.
    #[serde(default = "measurements")]
    pub measurements: u64,
}

fn measurements() -> u64 {
    24
}

impl RecipeKind for StochasticConvex {
    type Config = Config;

    fn name(&self) -> &'static str {
        "stochastic-convex"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        check(config.steps > 0, "steps", "at least 1")?;
        check(config.seeds > 0, "seeds", "at least 1")?;
        check(config.measurements > 0, "measurements", "at least 1")?;
        let rising = config.etas.windows(2).all(|pair| pair[0] < pair[1]);
        let positive = config.etas.iter().all(|eta| *eta > 0.0 && eta.is_finite());
        check(
            !config.etas.is_empty() && rising && positive,
            "etas",
            "one or more rising numbers above 0",
        )?;
        check(config.etas.contains(&config.eta), "eta", "one of `etas`")?;
        let largest = config.etas.last().copied().unwrap_or(f64::NAN);
        let expected = "a number not above the largest of `etas`";
        check(config.sensitivity_from <= largest, "sensitivity_from", expected)?;
        config.problem.validate()?;
        config.method.validate(&config.problem)
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
            experiment = experiment.arm(arm.name, Sweep::new(arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| pictures::conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let mut names = vec!["last", "median_last", "best_last", "best_eta", "sensitivity"];
        if config.method.averages() {
            names.push("average");
            names.extend(averages().map(|a| a.name()));
        }
        Some(names.into_iter().map(String::from).collect())
    }
}

/// One method on one problem, all seeds of one step size at a time.
struct Sweep {
    config: Config,
    oracle: Box<dyn StochasticOracle + Send>,
    seeds: Vec<u64>,
    marks: Vec<u64>,
}

/// Where a sweep stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Tree)]
struct SweepState {
    #[tree(skip)]
    results: Vec<Outcome>,
}

/// What one step size gave, as distances to the minimum.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    eta: f64,
    /// Means over the seeds.
    path: Vec<Mark>,
    /// Of the last iterate, by seed.
    lasts: Vec<f64>,
}

impl Outcome {
    fn last(&self) -> f64 {
        self.path.last().map_or(f64::NAN, |mark| mark.last)
    }

    fn averages(&self) -> &[f64] {
        self.path.last().map_or(&[], |mark| &mark.averages)
    }
}

impl Sweep {
    fn new(config: Config, seed: u64) -> Result<Sweep, Error> {
        let oracle = config.problem.load()?;
        // Seeds of different recipe seeds have nothing in common.
        let stream = Stream::new(seed).child("runs");
        let seeds = (0..config.seeds).map(|i| stream.at(i).below(u64::MAX)).collect();
        let marks = log_marks(config.steps, config.measurements);
        Ok(Sweep { config, oracle, seeds, marks })
    }

    fn outcome(&self, eta: f64) -> Result<Outcome, Error> {
        let Config { problem, method, .. } = &self.config;
        let traces: Vec<Result<Vec<Mark>, _>> = self
            .seeds
            .par_iter()
            .map(|&seed| method.trace(problem, &self.oracle, eta, seed, &self.marks))
            .collect();
        let traces: Vec<Vec<Mark>> =
            traces.into_iter().collect::<Result<_, _>>().map_err(Error::other)?;
        let mean = |at: usize, value: &dyn Fn(&Mark) -> f64| {
            let sum: f64 = traces.iter().map(|trace| value(&trace[at])).sum();
            sum / traces.len() as f64 - problem.minimum
        };
        let mark = |(at, &step): (usize, &u64)| Mark {
            step,
            last: mean(at, &|m| m.last),
            averages: (0..traces[0][at].averages.len())
                .map(|k| mean(at, &|m| m.averages[k]))
                .collect(),
        };
        let path = self.marks.iter().enumerate().map(mark).collect();
        let last = |trace: &Vec<Mark>| trace.last().map_or(f64::NAN, |m| m.last - problem.minimum);
        Ok(Outcome { eta, path, lasts: traces.iter().map(last).collect() })
    }
}

/// `count` rising steps up to `steps`, evenly spread over the logarithm.
fn log_marks(steps: u64, count: u64) -> Vec<u64> {
    let at = |i: u64| (steps as f64).powf(i as f64 / count as f64).round() as u64;
    let mut marks: Vec<u64> = (1..count).map(at).filter(|&t| t < steps).collect();
    marks.push(steps);
    marks.dedup();
    marks
}

impl Process for Sweep {
    type State = SweepState;

    fn start(&self) -> Result<SweepState, Error> {
        Ok(SweepState::default())
    }

    fn advance(&self, state: &mut SweepState, watch: &mut Watch) -> Result<Step, Error> {
        let Some(&eta) = self.config.etas.get(state.results.len()) else {
            return Ok(Step::Done(Stop::Completed));
        };
        let outcome = self.outcome(eta)?;
        watch.metric("eta", eta);
        watch.metric("last", outcome.last());
        for (average, value) in averages().iter().zip(outcome.averages()) {
            watch.metric(average.name(), *value);
        }
        state.results.push(outcome);
        Ok(Step::Continue)
    }

    fn finish(&self, state: &SweepState, watch: &mut Watch) -> Result<(), Error> {
        if let Some(outcome) = state.results.iter().find(|o| o.eta == self.config.eta) {
            watch.figure("last", outcome.last());
            watch.figure("median_last", median(&outcome.lasts));
            for (average, value) in averages().iter().zip(outcome.averages()) {
                watch.figure(average.name(), *value);
            }
            if let Some(best) = outcome.averages().iter().copied().min_by(f64::total_cmp) {
                watch.figure("average", best);
            }
        }
        let best = state.results.iter().min_by(|a, b| a.last().total_cmp(&b.last()));
        watch.figure("best_last", best.map_or(f64::NAN, Outcome::last));
        watch.figure("best_eta", best.map_or(f64::NAN, |o| o.eta));
        let counted = || {
            let from = self.config.sensitivity_from;
            state.results.iter().filter(move |o| o.eta >= from).map(Outcome::last)
        };
        let (most, least) =
            (counted().fold(f64::NEG_INFINITY, f64::max), counted().fold(f64::INFINITY, f64::min));
        watch.figure("sensitivity", most / least);
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.etas.len() as u64)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => 0.5 * (sorted[middle - 1] + sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_rise_to_the_last_step() {
        assert_eq!(log_marks(1, 24), [1]);
        let marks = log_marks(4000, 24);
        assert!(marks.windows(2).all(|m| m[0] < m[1]) && marks.last() == Some(&4000));
    }

    #[test]
    fn medians() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let read = |text: &str| serde_json::from_str::<Config>(text).unwrap();
        let problem =
            r#""problem": {"title": "t", "data": "diabetes", "loss": "absolute", "minimum": 0.5"#;
        let rest = r#""etas": [0.5], "eta": 0.5, "steps": 10, "seeds": 2"#;
        let refused = |problem: &str, method: &str, rest: &str| {
            let text = format!(r#"{{{problem}}}, "method": {method}, {rest}}}"#);
            StochasticConvex.validate(&read(&text)).err()
        };
        let linear = r#"{"name": "csmd", "steps": {"name": "linear-decay"}}"#;
        assert_eq!(refused(problem, linear, rest), None);
        let at = |found: Option<Invalid>, key: &str| {
            let text = format!("{:?}", found.expect(key));
            assert!(text.contains(&format!("\"{key}\"")), "{text}");
        };
        at(refused(problem, linear, &rest.replace("\"eta\": 0.5", "\"eta\": 1")), "eta");
        at(refused(problem, linear, &rest.replace("10", "0")), "steps");
        let entropy = linear.replace("\"steps\"", r#""mirror": {"name": "entropy"}, "steps""#);
        at(refused(problem, &entropy, rest), "method.mirror");
        at(refused(problem, r#"{"name": "pegasos"}"#, rest), "problem.regularizer");
        let noisy = format!(r#"{problem}, "noise": {{"name": "student-t", "df": 1.0}}"#);
        at(refused(&noisy, linear, rest), "problem.noise.df");
        let boxed = format!(r#"{problem}, "domain": {{"name": "ball", "radius": 1}}"#);
        at(refused(&boxed, r#"{"name": "adam"}"#, rest), "problem.domain");
    }

    /// Resuming between two step sizes and running through give the same.
    #[test]
    fn a_sweep_is_a_function_of_its_seed() {
        let text = r#"{"problem": {"title": "t", "data": "diabetes", "loss": "absolute", "minimum": 0.5589673},
            "method": {"name": "csmd", "steps": {"name": "linear-decay"}},
            "etas": [0.25, 0.5], "eta": 0.5, "steps": 50, "seeds": 3, "measurements": 4}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let lasts = |seed| {
            let sweep = Sweep::new(config.clone(), seed).unwrap();
            sweep.outcome(0.5).unwrap().lasts
        };
        assert_eq!(lasts(1), lasts(1));
        assert_ne!(lasts(1), lasts(2));
    }
}
