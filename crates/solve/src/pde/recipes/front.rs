//! Fronts of two objectives under the elliptic equation with a max term.

use std::time::Instant;

use lisse_array::Tree;
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Error, Experiment, Finals, Invalid, Process, RecipeKind, Setup, Step, Stop, Watch,
};
use serde::{Deserialize, Serialize};

use super::expect;
use crate::pareto::dense::along;
use crate::pareto::{hypervolume, nondominated, spacing_ratio};
use crate::pde::{
    AdaptiveReduced, Basis, EpsilonConstraint, Goal, MaxElliptic, ReferencePoint, Stationary,
    Tracking, WeightedProblem, weighted_front,
};

/// `kind = "pareto-front"`: every arm traces the front in its own way, one point a step.
pub struct ParetoFront;

/// The schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The problem.
    pub problem: ProblemConfig,
    /// How points of the front are chosen.
    pub method: MethodConfig,
    /// What solves the optimality systems.
    #[serde(default)]
    pub model: ModelConfig,
    /// Points of the front; the reference point method goes on until the end of the front, but not beyond twice as many.
    pub points: usize,
    /// Weights of the second objective at the two ends of the front.
    pub ends: [f64; 2],
    /// Hypervolume is measured below this point.
    pub reference: [f64; 2],
}

/// `-Lap y + kappa max(0, y) = u` on the unit square.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProblemConfig {
    /// Inner nodes along an axis.
    pub n: usize,
    /// Weight of the max term.
    #[serde(default = "ten")]
    pub kappa: f64,
    /// The objectives: `tracking-and-cost` (a wave is tracked; the control has its price) or `two-trackings` (a wave, and minus one half).
    pub objectives: Objectives,
    /// Price of the control.
    pub control_cost: f64,
}

fn ten() -> f64 {
    10.0
}

/// Pairs of objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objectives {
    /// Tracking of a wave, and the price of the control.
    TrackingAndCost,
    /// Tracking of a wave and of a constant, both with a price.
    TwoTrackings,
}

/// Scalarisations.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// Equal steps of the weight.
    WeightedSum,
    /// [`ReferencePoint`], with the arc of the weighted sums' front over the number of steps as spacing.
    ReferencePoint,
    /// [`EpsilonConstraint`], with equal steps of the bound between the ends' values of the second objective.
    EpsilonConstraint,
}

/// Models.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelConfig {
    /// All nodes.
    #[default]
    Full,
    /// [`AdaptiveReduced`].
    Reduced {
        /// Relative error bound above which the full model is asked.
        tolerance: f64,
    },
}

impl RecipeKind for ParetoFront {
    type Config = Config;

    fn name(&self) -> &'static str {
        "pareto-front"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        let problem = &config.problem;
        let at_least_zero = |v: f64| v.is_finite() && v >= 0.0;
        expect((1..=500).contains(&problem.n), "problem.n", "from 1 to 500")?;
        expect(at_least_zero(problem.kappa), "problem.kappa", "a finite number, at least 0")?;
        let cost = problem.control_cost;
        expect(cost > 0.0 && cost.is_finite(), "problem.control_cost", "a finite number above 0")?;
        expect(config.points >= 2, "points", "at least 2")?;
        let [low, high] = config.ends;
        expect(0.0 < low && low < high && high < 1.0, "ends", "a rising pair between 0 and 1")?;
        if let ModelConfig::Reduced { tolerance } = config.model {
            expect(tolerance > 0.0 && tolerance < 1.0, "model.tolerance", "between 0 and 1")?;
        }
        Ok(())
    }

    fn experiment(&self, _: &Setup, arms: Vec<Arm<Config>>) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut names = Vec::new();
        for arm in arms {
            names.push(arm.name.clone());
            experiment = experiment.arm(arm.name, Tracer::new(arm.config)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, _: &Config) -> Option<Vec<String>> {
        Some(FIGURES.map(String::from).to_vec())
    }
}

const FIGURES: [&str; 11] = [
    "points",
    "systems",
    "full_solves",
    "reduced_solves",
    "basis",
    "seconds",
    "spread",
    "hypervolume",
    "nondominated",
    "criticality",
    "error",
];

/// Traces one front.
pub(super) struct Tracer {
    config: Config,
    problem: Tracking,
}

/// Where it stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Tree)]
pub(super) struct Front {
    #[tree(skip)]
    points: Vec<Stationary>,
    /// The end towards which the front is traced.
    #[tree(skip)]
    end: Vec<f64>,
    #[tree(skip)]
    spacing: f64,
    #[tree(skip)]
    basis: Basis,
    #[tree(skip)]
    systems: usize,
    #[tree(skip)]
    full: usize,
    #[tree(skip)]
    reduced: usize,
    #[tree(skip)]
    seconds: f64,
}

/// The full model, with its systems counted.
struct Counted<'a> {
    problem: &'a Tracking,
    solves: usize,
    systems: usize,
}

impl WeightedProblem for Counted<'_> {
    fn solve(
        &mut self,
        weights: &[f64],
        start: Option<&Stationary>,
    ) -> Result<Stationary, crate::pde::PdeError> {
        let point = self.problem.weighted(weights, start)?;
        self.solves += 1;
        self.systems += point.steps;
        Ok(point)
    }

    fn objectives(&self) -> usize {
        2
    }
}

impl Tracer {
    pub(super) fn new(config: Config) -> Result<Tracer, Error> {
        let problem = &config.problem;
        let equation = MaxElliptic::unit_square(problem.n, problem.kappa).map_err(Error::other)?;
        let wave = equation.sample(|x| {
            let angle = std::f64::consts::PI;
            (2.0 * angle * x[0]).sin() * (angle * x[1]).sin()
        });
        let cost = problem.control_cost;
        let goal = |target, control_cost| Goal { target, control_cost };
        let goals = match problem.objectives {
            Objectives::TrackingAndCost => vec![goal(Some(wave), 0.0), goal(None, cost)],
            Objectives::TwoTrackings => {
                let half = vec![-0.5; equation.len()];
                vec![goal(Some(wave), cost), goal(Some(half), cost)]
            }
        };
        let problem = Tracking::new(equation, goals).map_err(Error::other)?;
        Ok(Tracer { config, problem })
    }

    fn weight(&self, k: usize) -> Vec<f64> {
        let [low, high] = self.config.ends;
        let share = k as f64 / (self.config.points - 1) as f64;
        let a = low * (1.0 - share) + high * share;
        vec![1.0 - a, a]
    }

    /// Runs some work with the arm's model and books what it cost.
    fn with_model<R>(
        &self,
        state: &mut Front,
        work: impl FnOnce(&mut dyn WeightedProblem, &Front) -> Result<R, crate::pde::PdeError>,
    ) -> Result<R, Error> {
        let clock = Instant::now();
        let result = match self.config.model {
            ModelConfig::Full => {
                let mut model = Counted { problem: &self.problem, solves: 0, systems: 0 };
                let result = work(&mut model, state);
                state.full += model.solves;
                state.systems += model.systems;
                result
            }
            ModelConfig::Reduced { tolerance } => {
                let basis = std::mem::take(&mut state.basis);
                let mut model = AdaptiveReduced::with_basis(&self.problem, basis, tolerance)
                    .map_err(Error::other)?;
                let result = work(&mut model, state);
                let counts = model.counts();
                state.basis = model.reduced().basis().clone();
                state.full += counts.full;
                state.reduced += counts.reduced;
                state.systems += counts.full_systems;
                result
            }
        };
        state.seconds += clock.elapsed().as_secs_f64();
        result.map_err(Error::other)
    }

    /// Both ends, and for the reference point the length of the front.
    fn first(&self, state: &mut Front) -> Result<(), Error> {
        let last = self.config.points - 1;
        let weights: Vec<Vec<f64>> = match self.config.method {
            MethodConfig::ReferencePoint => (0..=last).map(|k| self.weight(k)).collect(),
            MethodConfig::EpsilonConstraint => vec![self.weight(0), self.weight(last)],
            MethodConfig::WeightedSum => vec![self.weight(0)],
        };
        let front = self.with_model(state, |model, _| weighted_front(model, &weights))?;
        let length = |pair: &[Stationary]| {
            let gap = along(&pair[0].values, -1.0, &pair[1].values);
            gap[0].hypot(gap[1])
        };
        state.spacing = front.windows(2).map(length).sum::<f64>() / last as f64;
        state.end.clone_from(&front[front.len() - 1].values);
        state.points.push(front[0].clone());
        Ok(())
    }

    fn next(&self, state: &mut Front) -> Result<Option<Stationary>, Error> {
        let k = state.points.len();
        let enough = match self.config.method {
            MethodConfig::ReferencePoint => k >= 2 * self.config.points,
            _ => k >= self.config.points,
        };
        if enough {
            return Ok(None);
        }
        let weights = self.weight(k.min(self.config.points - 1));
        let share = k as f64 / (self.config.points - 1) as f64;
        let method = self.config.method;
        let end = state.end[1];
        let found = self.with_model(state, |model, state| {
            let current = &state.points[k - 1];
            match method {
                MethodConfig::WeightedSum => model.solve(&weights, Some(current)).map(Some),
                MethodConfig::ReferencePoint => {
                    Ok(ReferencePoint::new(state.spacing).next(model, current)?.map(|p| p.0))
                }
                MethodConfig::EpsilonConstraint => {
                    let bound = state.points[0].values[1] * (1.0 - share) + end * share;
                    let least = weights_ratio(&state.points[0].weights);
                    let method = EpsilonConstraint { least, ..EpsilonConstraint::new(bound) };
                    Ok(Some(method.solve(model)?.0))
                }
            }
        })?;
        let passed =
            |p: &Stationary| matches!(method, MethodConfig::ReferencePoint) && p.values[1] < end;
        Ok(found.filter(|p| !passed(p)))
    }
}

/// All points, with the state written and read between steps if asked.
#[cfg(test)]
pub(super) fn trace(tracer: &Tracer, saved: bool) -> Vec<Stationary> {
    let mut state = Front::default();
    tracer.first(&mut state).unwrap();
    while let Some(point) = tracer.next(&mut state).unwrap() {
        state.points.push(point);
        if saved {
            let text = serde_json::to_string(&state).unwrap();
            state = serde_json::from_str(&text).unwrap();
        }
    }
    state.points
}

fn weights_ratio(weights: &[f64]) -> f64 {
    weights[1] / weights[0]
}

impl Process for Tracer {
    type State = Front;

    fn start(&self) -> Result<Front, Error> {
        Ok(Front::default())
    }

    fn advance(&self, state: &mut Front, watch: &mut Watch) -> Result<Step, Error> {
        if state.points.is_empty() {
            self.first(state)?;
        } else if let Some(point) = self.next(state)? {
            state.points.push(point);
        } else {
            return Ok(Step::Done(Stop::Completed));
        }
        let last = &state.points[state.points.len() - 1];
        watch.metric("j1", last.values[0]);
        watch.metric("j2", last.values[1]);
        watch.metric("weight", last.weights[1]);
        watch.metric("systems", state.systems as f64);
        Ok(Step::Continue)
    }

    fn finish(&self, state: &Front, watch: &mut Watch) -> Result<(), Error> {
        let values: Vec<&Vec<f64>> = state.points.iter().map(|p| &p.values).collect();
        let equation = self.problem.equation();
        let (mut criticality, mut error) = (0.0f64, 0.0f64);
        watch.phase("checking with the full model", Some(state.points.len() as u64));
        for point in &state.points {
            let found = self.problem.criticality(&point.weights, &point.u).map_err(Error::other)?;
            criticality = criticality.max(found);
            if matches!(self.config.model, ModelConfig::Reduced { .. }) {
                let exact =
                    self.problem.weighted(&point.weights, Some(point)).map_err(Error::other)?;
                let away = along(&point.y, -1.0, &exact.y);
                error = error.max((equation.energy(&away) / equation.energy(&exact.y)).sqrt());
            }
            watch.tick()?;
        }
        watch.figure("points", values.len() as f64);
        watch.figure("systems", state.systems as f64);
        watch.figure("full_solves", state.full as f64);
        watch.figure("reduced_solves", state.reduced as f64);
        watch.figure("basis", state.basis.len() as f64);
        watch.figure("seconds", state.seconds);
        watch.figure("spread", spacing_ratio(&values));
        watch.figure("hypervolume", hypervolume(&values, &self.config.reference));
        watch.figure("nondominated", nondominated(&values).len() as f64);
        watch.figure("criticality", criticality);
        watch.figure("error", error);
        let row = |p: &Stationary| {
            let (v, w) = (&p.values, &p.weights);
            format!("{},{},{},{},{}", v[0], v[1], w[0], w[1], p.steps)
        };
        let rows: Vec<String> = state.points.iter().map(row).collect();
        let csv = format!("j1,j2,weight1,weight2,systems\n{}\n", rows.join("\n"));
        watch.artefact("front.csv", csv.as_bytes())?;
        Ok(())
    }
}

fn conclude(names: &[String], finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    let mut picture =
        Picture::lines("Fronts", Axis::new("first objective"), Axis::new("second objective"))
            .caption("Every mark is a stationary point; both objectives are minimised.");
    let mut table = Table::new(
        "What the fronts cost and how good they are",
        [
            "arm",
            "points",
            "linear systems",
            "full solves",
            "reduced solves",
            "seconds",
            "largest over smallest gap",
            "hypervolume",
            "criticality",
            "state error",
        ],
    );
    for name in names {
        let Some(state) = finals.state::<Tracer>(name) else { continue };
        picture =
            picture.series(name.as_str(), state.points.iter().map(|p| (p.values[0], p.values[1])));
        let figure = |f: &str| {
            let full = if name.is_empty() { f.to_owned() } else { format!("{name}.{f}") };
            Cell::from(finals.figure(&full).unwrap_or(f64::NAN))
        };
        let mut row = vec![Cell::from(name.as_str())];
        let columns = [
            "points",
            "systems",
            "full_solves",
            "reduced_solves",
            "seconds",
            "spread",
            "hypervolume",
            "criticality",
            "error",
        ];
        row.extend(columns.map(figure));
        table = table.row(row);
    }
    watch.picture("fronts", picture)?;
    watch.table("fronts", table)
}
