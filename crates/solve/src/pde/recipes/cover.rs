//! Critical points of several non-smooth functions of the plane: covers, descent from many points, a genetic search.

use std::sync::atomic::{AtomicU64, Ordering};

use lisse_array::{DType, Stream, Tree};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Error, Experiment, Finals, Invalid, Process, RecipeKind, Setup, Step, Stop, Watch,
};
use serde::{Deserialize, Serialize};

use super::expect;
use crate::pareto::problems::{Function, Functions};
use crate::pareto::{
    Cover, Genetic, GoldsteinDescent, Objectives, Population, certificate, hypervolume, min_norm,
    nondominated,
};

/// `kind = "pareto-cover"`: every arm looks for the critical points of the same functions.
pub struct ParetoCover;

/// The schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The functions of the plane, by name.
    pub functions: Vec<Function>,
    /// Lower corner of the box.
    pub lower: Vec<f64>,
    /// Upper corner of the box.
    pub upper: Vec<f64>,
    /// Hypervolume is measured below this point.
    pub reference: Vec<f64>,
    /// The method.
    pub method: MethodConfig,
}

/// The methods by name.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`Cover`] with [`GoldsteinDescent`].
    Cover {
        /// Bisections.
        levels: u32,
        /// Radius and length of the criticality.
        eps: f64,
    },
    /// [`Cover`] by samples.
    Sampling {
        /// Bisections.
        levels: u32,
        /// Points in each box.
        samples: usize,
    },
    /// [`GoldsteinDescent`] from random points.
    Descent {
        /// How many.
        starts: u64,
        /// Radius and length of the criticality.
        eps: f64,
    },
    /// [`Genetic`].
    Genetic {
        /// Individuals.
        population: usize,
        /// Generations.
        generations: u64,
    },
}

impl RecipeKind for ParetoCover {
    type Config = Config;

    fn name(&self) -> &'static str {
        "pareto-cover"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        expect(!config.functions.is_empty(), "functions", "one name or more")?;
        let plane = config.lower.len() == 2 && config.upper.len() == 2;
        let rising = || config.lower.iter().zip(&config.upper).all(|(l, u)| l < u);
        expect(plane && rising(), "upper", "two numbers above those of `lower`")?;
        let k = config.functions.len();
        expect(config.reference.len() == k, "reference", "one number for each function")?;
        match config.method {
            MethodConfig::Cover { levels, eps } => {
                expect((1..=40).contains(&levels), "method.levels", "from 1 to 40")?;
                expect(eps > 0.0 && eps < 1.0, "method.eps", "between 0 and 1")
            }
            MethodConfig::Sampling { levels, samples } => {
                expect((1..=40).contains(&levels), "method.levels", "from 1 to 40")?;
                expect(samples > 0, "method.samples", "at least 1")
            }
            MethodConfig::Descent { starts, eps } => {
                expect(starts > 0, "method.starts", "at least 1")?;
                expect(eps > 0.0 && eps < 1.0, "method.eps", "between 0 and 1")
            }
            MethodConfig::Genetic { population, generations } => {
                let even = population >= 2 && population.is_multiple_of(2);
                expect(even, "method.population", "an even number, at least 2")?;
                expect(generations > 0, "method.generations", "at least 1")
            }
        }
    }

    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Config>>,
    ) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut names = Vec::new();
        for arm in arms {
            names.push(arm.name.clone());
            let functions = Functions(arm.config.functions.clone());
            let search = Search { config: arm.config, functions, seed: setup.seed };
            experiment = experiment.arm(arm.name, search);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, _: &Config) -> Option<Vec<String>> {
        Some(FIGURES.map(String::from).to_vec())
    }
}

const FIGURES: [&str; 8] = [
    "points",
    "boxes",
    "share",
    "evaluations",
    "subgradients",
    "hypervolume",
    "nondominated",
    "criticality",
];

struct Search {
    config: Config,
    functions: Functions,
    seed: u64,
}

/// Where a search stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Tree)]
struct Found {
    #[tree(skip)]
    cover: Option<Cover>,
    #[tree(skip)]
    population: Population,
    /// Points that a descent ended at.
    #[tree(skip)]
    points: Vec<Vec<f64>>,
    /// Largest certified length among them.
    #[tree(skip)]
    criticality: f64,
    #[tree(skip)]
    evaluations: u64,
    #[tree(skip)]
    subgradients: u64,
    #[tree(skip)]
    step: u64,
}

impl Search {
    fn descent(eps: f64) -> GoldsteinDescent {
        GoldsteinDescent { eps, delta: eps, ..GoldsteinDescent::default() }
    }

    fn refine(&self, cover: &mut Cover, eps: f64, state: &mut Found) {
        let (values, slopes) = (AtomicU64::new(0), AtomicU64::new(0));
        let descent = Search::descent(eps);
        cover.refine(|x| {
            let found = descent.minimize(&self.functions, x).ok()?;
            values.fetch_add(found.evaluations as u64, Ordering::Relaxed);
            slopes.fetch_add(found.subgradients as u64, Ordering::Relaxed);
            Some(found.x)
        });
        state.evaluations += values.into_inner();
        state.subgradients += slopes.into_inner();
    }

    /// What stands for the solution: end points, or middles of boxes, or individuals.
    fn solution(&self, state: &Found) -> Vec<Vec<f64>> {
        match self.config.method {
            MethodConfig::Cover { .. } | MethodConfig::Sampling { .. } => {
                let middle = |(low, high): (Vec<f64>, Vec<f64>)| {
                    low.iter().zip(&high).map(|(l, h)| 0.5 * (l + h)).collect()
                };
                state.cover.iter().flat_map(|cover| cover.boxes().map(middle)).collect()
            }
            MethodConfig::Descent { .. } => state.points.clone(),
            MethodConfig::Genetic { .. } => state.population.points.clone(),
        }
    }
}

impl Process for Search {
    type State = Found;

    fn start(&self) -> Result<Found, Error> {
        let mut state = Found::default();
        match self.config.method {
            MethodConfig::Cover { .. } | MethodConfig::Sampling { .. } => {
                let cover = Cover::new(&self.config.lower, &self.config.upper);
                state.cover = Some(cover.map_err(Error::other)?);
            }
            MethodConfig::Descent { .. } => {}
            MethodConfig::Genetic { .. } => {
                state.population = self.genetic().start(&self.functions).map_err(Error::other)?;
                state.evaluations = self.evaluated();
            }
        }
        Ok(state)
    }

    fn advance(&self, state: &mut Found, watch: &mut Watch) -> Result<Step, Error> {
        let total = self.total().unwrap_or(0);
        if state.step >= total {
            return Ok(Step::Done(Stop::Completed));
        }
        match self.config.method {
            MethodConfig::Cover { eps, .. } => {
                if let Some(mut cover) = state.cover.take() {
                    self.refine(&mut cover, eps, state);
                    watch.metric("boxes", cover.len() as f64);
                    state.cover = Some(cover);
                }
            }
            MethodConfig::Sampling { samples, .. } => {
                if let Some(cover) = &mut state.cover {
                    let k = self.functions.count();
                    state.evaluations += (2 * cover.len() * samples * k) as u64;
                    let stream = Stream::new(self.seed).child("samples");
                    cover.refine_by_sampling(&self.functions, samples, &stream);
                    watch.metric("boxes", cover.len() as f64);
                }
            }
            MethodConfig::Descent { eps, .. } => {
                let stream = Stream::new(self.seed).child("starts").at(state.step);
                let share: Vec<f64> = stream.uniform(&[2], DType::F64).to_vec();
                let along = |i: usize| {
                    let (low, high) = (self.config.lower[i], self.config.upper[i]);
                    low + share[i] * (high - low)
                };
                let descent = Search::descent(eps);
                let found = descent
                    .minimize(&self.functions, &[along(0), along(1)])
                    .map_err(Error::other)?;
                let length = certificate(&self.functions, &found.x, eps, &found.witnesses);
                state.criticality = state.criticality.max(length);
                state.evaluations += found.evaluations as u64;
                state.subgradients += found.subgradients as u64;
                watch.metric("steps", found.steps as f64);
                state.points.push(found.x);
            }
            MethodConfig::Genetic { .. } => {
                self.genetic().advance(&self.functions, &mut state.population);
                state.evaluations += self.evaluated();
            }
        }
        state.step += 1;
        watch.metric("evaluations", state.evaluations as f64);
        Ok(Step::Continue)
    }

    fn total(&self) -> Option<u64> {
        Some(match self.config.method {
            MethodConfig::Cover { levels, .. } | MethodConfig::Sampling { levels, .. } => {
                u64::from(levels)
            }
            MethodConfig::Descent { starts, .. } => starts,
            MethodConfig::Genetic { generations, .. } => generations,
        })
    }

    fn finish(&self, state: &Found, watch: &mut Watch) -> Result<(), Error> {
        let points = self.solution(state);
        let values: Vec<Vec<f64>> = points.iter().map(|x| self.functions.values(x)).collect();
        let boxes = state.cover.as_ref().map_or(0, Cover::len);
        let (share, criticality) = match self.config.method {
            MethodConfig::Cover { levels, .. } | MethodConfig::Sampling { levels, .. } => {
                let diagonal =
                    |(low, high): (Vec<f64>, Vec<f64>)| (high[0] - low[0]).hypot(high[1] - low[1]);
                let first = state.cover.as_ref().and_then(|cover| cover.boxes().next());
                let radius = first.map_or(0.0, |b| 0.5 * diagonal(b));
                (boxes as f64 / 2f64.powi(levels as i32), self.worst(&points, radius))
            }
            MethodConfig::Descent { .. } => (f64::NAN, state.criticality),
            MethodConfig::Genetic { .. } => (f64::NAN, self.worst(&points, 0.05)),
        };
        watch.figure("points", points.len() as f64);
        watch.figure("boxes", boxes as f64);
        watch.figure("share", share);
        watch.figure("evaluations", state.evaluations as f64);
        watch.figure("subgradients", state.subgradients as f64);
        watch.figure("hypervolume", hypervolume(&values, &self.config.reference));
        watch.figure("nondominated", nondominated(&values).len() as f64 / values.len() as f64);
        watch.figure("criticality", criticality);
        Ok(())
    }
}

impl Search {
    fn genetic(&self) -> Genetic {
        let population = match self.config.method {
            MethodConfig::Genetic { population, .. } => population,
            _ => 2,
        };
        Genetic::new(population, &self.config.lower, &self.config.upper, self.seed)
    }

    /// Values that a generation costs.
    fn evaluated(&self) -> u64 {
        (self.genetic().population * self.functions.count()) as u64
    }

    /// The longest shortest combination of subgradients around the points, from rings of one half and the whole of a radius: a rough
    /// measure for points that come without witnesses, as individuals and middles of boxes do.
    fn worst(&self, points: &[Vec<f64>], radius: f64) -> f64 {
        let around = |x: &Vec<f64>| {
            let ring = (0..64).map(|k| {
                let angle = f64::from(k) * std::f64::consts::PI / 16.0;
                let radius = if k < 32 { radius } else { 0.5 * radius };
                [x[0] + radius * angle.cos(), x[1] + radius * angle.sin()]
            });
            let all: Vec<Vec<f64>> = ring.flat_map(|at| self.functions.subgradients(&at)).collect();
            let (v, _) = min_norm(&all);
            v[0].hypot(v[1])
        };
        points.iter().map(around).fold(0.0, f64::max)
    }
}

fn conclude(names: &[String], finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    let mut plane = Picture::lines("Points found", Axis::new("x1"), Axis::new("x2"))
        .caption("Outlines of boxes; points for methods without boxes, in rising order of x1.");
    let mut table = Table::new("What was found, at what cost", {
        let mut columns = vec!["arm"];
        columns.extend(FIGURES);
        columns
    });
    for name in names {
        let Some(state) = finals.state::<Search>(name) else { continue };
        let mut series: Vec<(f64, f64)> = Vec::new();
        if let Some(cover) = &state.cover {
            for (l, h) in cover.boxes() {
                let corners =
                    [(l[0], l[1]), (h[0], l[1]), (h[0], h[1]), (l[0], h[1]), (l[0], l[1])];
                series.extend(corners);
                // A gap in the line.
                series.push((f64::NAN, f64::NAN));
            }
        } else {
            let found =
                if state.points.is_empty() { &state.population.points } else { &state.points };
            series.extend(found.iter().map(|x| (x[0], x[1])));
            series.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        plane = plane.series(name.as_str(), series);
        let mut row = vec![Cell::from(name.as_str())];
        row.extend(FIGURES.map(|f| {
            let full = if name.is_empty() { f.to_owned() } else { format!("{name}.{f}") };
            Cell::from(finals.figure(&full).unwrap_or(f64::NAN))
        }));
        table = table.row(row);
    }
    watch.picture("plane", plane)?;
    watch.table("found", table)
}
