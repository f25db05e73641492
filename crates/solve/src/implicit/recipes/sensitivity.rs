//! How a packing of soft spheres answers to a change of diameters.

use std::time::Instant;

use lisse_array::{Array, Stream, Tree};
use lisse_run::report::{Axis, Cell, Image, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Process, RecipeKind, Setup, Step, Stop, Watch,
};
use serde::{Deserialize, Serialize};

use super::super::spheres::{Fire, Packing};
use super::super::{Condition, Implicit, root_jvp};
use super::{DerivativeConfig, median};
use crate::linear::{LinearSolver, Method as Linear, vector};

/// `kind = "sensitivity"`: every arm differentiates the same packings in another way.
pub(super) struct Sensitivity;

/// The schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Config {
    /// Spheres; half of them small.
    particles: usize,
    /// Diameter of the small ones; the large ones have 1.
    small: f64,
    /// Sum of the discs' areas by that of the box.
    fraction: f64,
    /// Packings, from different random starts.
    packings: u64,
    /// How the minimum is differentiated: `implicit`, or `unrolled` through the dynamics (its `steps` are a limit).
    derivative: DerivativeConfig,
    /// Largest force at a minimum.
    #[serde(default = "force")]
    tolerance: f64,
    /// Half the change of diameter in the difference quotient that all are compared with.
    #[serde(default = "change")]
    change: f64,
}

fn force() -> f64 {
    1e-13
}
fn change() -> f64 {
    1e-6
}

const FIGURES: [&str; 7] =
    ["error", "largest_error", "residual", "products", "seconds", "minimize_iterations", "failed"];

impl Config {
    /// Whether a linear system is solved, with a residual to show.
    fn solves(&self) -> bool {
        matches!(self.derivative, DerivativeConfig::Implicit { .. })
    }
}

impl RecipeKind for Sensitivity {
    type Config = Config;

    fn name(&self) -> &'static str {
        "sensitivity"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        check(config.particles >= 4, "particles", "at least 4")?;
        check(config.small > 0.1 && config.small <= 1.0, "small", "above 0.1, at most 1")?;
        let fraction = config.fraction;
        check(
            fraction > 0.85 && fraction < 2.0,
            "fraction",
            "above 0.85 (where discs jam) and below 2",
        )?;
        // A sphere must not touch two images of another: the energy would have a kink.
        let wide = side(config) > 2.0;
        check(wide, "particles", "enough for a box wider than two large diameters (12 and more)")?;
        check(config.packings > 0, "packings", "at least 1")?;
        let tolerance = config.tolerance;
        check(tolerance > 0.0 && tolerance < 1e-6, "tolerance", "above 0 and below 1e-6")?;
        check(config.change > 0.0 && config.change < 1e-2, "change", "above 0 and below 0.01")?;
        let known = !matches!(config.derivative, DerivativeConfig::OneStep);
        check(known, "derivative.name", "implicit or unrolled")?;
        config.derivative.validate("derivative")
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
            experiment = experiment.arm(arm.name, Packings::new(arm.config, setup.seed));
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let names = FIGURES.into_iter().filter(|name| *name != "residual" || config.solves());
        Some(names.map(String::from).collect())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        let packings = Packings::new(arm.config, setup.seed);
        let (x, n) = (packings.minimum(0).x, packings.config.particles as isize);
        let at = (Array::from_vec(x, &[n as usize * 2]), Array::scalar(packings.config.small));
        let packing = packings.packing.clone();
        Ok(vec![Audit::new("energy of a packing", at, move |(x, small): &(Array, Array)| {
            packing.energy(&x.reshape(&[n, 2]), &diameters(n as usize, small))
        })])
    }
}

/// Large spheres first, then small ones.
fn diameters(n: usize, small: &Array) -> Array {
    let mask: Vec<f64> = (0..n).map(|i| if i < n / 2 { 0.0 } else { 1.0 }).collect();
    let mask = Array::from_vec(mask, &[n]);
    (1.0 - &mask) + mask * small
}

/// Side of the box that the discs fill to the fraction.
fn side(config: &Config) -> f64 {
    let (n, large) = (config.particles as f64, (config.particles / 2) as f64);
    let area = std::f64::consts::FRAC_PI_4 * (large + (n - large) * config.small * config.small);
    (area / config.fraction).sqrt()
}

/// One arm.
struct Packings {
    config: Config,
    packing: Packing,
    fire: Fire,
    stream: Stream,
}

/// What one packing gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    /// Distance to the difference quotient, relative to its length.
    error: f64,
    residual: f64,
    products: f64,
    seconds: f64,
    iterations: f64,
    /// Positions and sensitivities of the first packing, for the picture.
    picture: Option<(Vec<f64>, Vec<f64>)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Tree)]
struct State {
    #[tree(skip)]
    outcomes: Vec<Outcome>,
}

/// What an arm's derivative came to: the sensitivity, its residual, products with the Hessian.
struct Found {
    dx: Vec<f64>,
    residual: f64,
    products: f64,
}

impl Packings {
    fn new(config: Config, seed: u64) -> Packings {
        let packing = Packing { side: side(&config), dim: 2 };
        let fire = Fire { tolerance: config.tolerance, ..Fire::default() };
        Packings { config, packing, fire, stream: Stream::new(seed).child("packings") }
    }

    fn sizes(&self, small: f64) -> Vec<f64> {
        let n = self.config.particles;
        (0..n).map(|i| if i < n / 2 { 1.0 } else { small }).collect()
    }

    fn random_start(&self, number: u64) -> Vec<f64> {
        let mut x = vec![0.0; 2 * self.config.particles];
        let law = lisse_array::random::Law::Uniform { lo: 0.0, hi: self.packing.side };
        self.stream.at(number).fill(law, 0, &mut x);
        x
    }

    fn minimum(&self, number: u64) -> super::super::spheres::FireState {
        let sizes = self.sizes(self.config.small);
        self.fire.minimize(&self.packing, &self.random_start(number), &sizes, None)
    }

    /// `(x(small + h) - x(small - h)) / 2 h`, both from the minimum at `small`.
    fn difference(&self, x: &[f64]) -> Vec<f64> {
        let h = self.config.change;
        let side = |h: f64| {
            let sizes = self.sizes(self.config.small + h);
            self.fire.minimize(&self.packing, x, &sizes, None).x
        };
        side(h).iter().zip(side(-h)).map(|(up, down)| (up - down) / (2.0 * h)).collect()
    }

    fn derivative(&self, number: u64, x: &[f64]) -> Result<Found, Error> {
        match &self.config.derivative {
            DerivativeConfig::Implicit { solver, tolerance, .. } => {
                let method = Linear::named(solver).unwrap_or_default();
                let linear = LinearSolver { tolerance: *tolerance, ..LinearSolver::new(method) };
                self.implicit(&Implicit::new(linear), x)
            }
            DerivativeConfig::Unrolled { steps, .. } => {
                let fire = Fire { max_iterations: *steps, ..self.fire };
                let sizes = self.sizes(self.config.small);
                let dd: Vec<f64> = sizes.iter().map(|d| f64::from(u8::from(*d < 1.0))).collect();
                let start = self.random_start(number);
                let end = fire.minimize(&self.packing, &start, &sizes, Some(&dd));
                Ok(Found { dx: end.dx, residual: f64::NAN, products: end.iterations as f64 })
            }
            DerivativeConfig::OneStep => Err(Error::message("one step is no derivative here")),
        }
    }

    fn implicit(&self, implicit: &Implicit, x: &[f64]) -> Result<Found, Error> {
        let (n, packing) = (self.config.particles, self.packing.clone());
        // Translations leave the energy as it is: the Hessian is singular, the system consistent.
        let problem = Condition::stationary(move |x: &Array, small: &Array| {
            packing.energy(&x.reshape(&[n as isize, 2]), &diameters(n, small))
        })
        .positive_definite();
        let (at, theta) = (Array::from_slice(x, &[x.len()]), Array::scalar(self.config.small));
        let one = Array::scalar(1.0f64);
        let (dx, report) = root_jvp(&problem, implicit, &at, &theta, &one).map_err(Error::other)?;
        let (residual, products) = (report.linear.residual, report.linear.iterations as f64);
        Ok(Found { dx: dx.to_vec(), residual, products })
    }
}

/// Without the mean displacement, which is free.
fn centred(dx: &[f64]) -> Vec<f64> {
    let n = dx.len() / 2;
    let mean = |a: usize| dx.iter().skip(a).step_by(2).sum::<f64>() / n as f64;
    let means = [mean(0), mean(1)];
    dx.iter().enumerate().map(|(i, v)| v - means[i % 2]).collect()
}

impl Process for Packings {
    type State = State;

    fn start(&self) -> Result<State, Error> {
        Ok(State::default())
    }

    fn advance(&self, state: &mut State, watch: &mut Watch) -> Result<Step, Error> {
        let number = state.outcomes.len() as u64;
        if number == self.config.packings {
            return Ok(Step::Done(Stop::Completed));
        }
        let minimum = self.minimum(number);
        let reference = centred(&self.difference(&minimum.x));
        let clock = Instant::now();
        let found = self.derivative(number, &minimum.x)?;
        let seconds = clock.elapsed().as_secs_f64();
        let dx = centred(&found.dx);
        let apart: Vec<f64> = dx.iter().zip(&reference).map(|(a, b)| a - b).collect();
        let error = vector::norm(&apart) / vector::norm(&reference);
        let picture = (number == 0).then(|| (minimum.x.clone(), dx));
        watch.metric("error", error);
        watch.metric("products", found.products);
        state.outcomes.push(Outcome {
            error,
            residual: found.residual,
            products: found.products,
            seconds,
            iterations: minimum.iterations as f64,
            picture,
        });
        Ok(Step::Continue)
    }

    fn finish(&self, state: &State, watch: &mut Watch) -> Result<(), Error> {
        let all = |f: &dyn Fn(&Outcome) -> f64| state.outcomes.iter().map(f).collect::<Vec<f64>>();
        let errors = all(&|o| o.error);
        // Wrong by more than half of its length: no derivative at all.
        let failed = errors.iter().filter(|e| e.is_nan() || **e >= 0.5).count();
        let largest = errors
            .iter()
            .copied()
            .fold(0.0, |m: f64, e| if e.is_nan() { f64::INFINITY } else { m.max(e) });
        let values = [
            median(&errors),
            largest,
            all(&|o| o.residual).into_iter().fold(0.0, f64::max),
            median(&all(&|o| o.products)),
            median(&all(&|o| o.seconds)),
            median(&all(&|o| o.iterations)),
            failed as f64 / errors.len().max(1) as f64,
        ];
        for (name, value) in FIGURES.into_iter().zip(values) {
            if name != "residual" || self.config.solves() {
                watch.figure(name, value);
            }
        }
        if let Some((x, dx)) = state.outcomes.first().and_then(|o| o.picture.as_ref()) {
            let image = self.paint(x, dx)?;
            let picture = Picture::images("Packing and its answer", 1)
                .caption("Large spheres grey, small ones blue; red strokes: displacement for growing small spheres, scaled.")
                .image(image, "");
            watch.picture("packing", picture)?;
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.packings)
    }
}

/// Pixels along a side of the picture.
const SIDE: usize = 480;

impl Packings {
    /// Discs and strokes of their displacements.
    fn paint(&self, x: &[f64], dx: &[f64]) -> Result<Image, Error> {
        let scale = SIDE as f64 / self.packing.side;
        let sizes = self.sizes(self.config.small);
        let mut pixels = vec![255u8; SIDE * SIDE * 3];
        let mut dot = |px: f64, py: f64, colour: [u8; 3]| {
            let wrap = |v: f64| (v.rem_euclid(SIDE as f64) as usize).min(SIDE - 1);
            let at = (wrap(py) * SIDE + wrap(px)) * 3;
            pixels[at..at + 3].copy_from_slice(&colour);
        };
        for (centre, size) in x.chunks(2).zip(&sizes) {
            // A little smaller than they are, so that contacts show.
            let radius = 0.46 * size * scale;
            let colour = if *size < 1.0 { [150, 185, 230] } else { [205, 205, 205] };
            let reach = radius.ceil() as i64;
            for i in -reach..=reach {
                for j in -reach..=reach {
                    if ((i * i + j * j) as f64) <= radius * radius {
                        dot(centre[0] * scale + i as f64, centre[1] * scale + j as f64, colour);
                    }
                }
            }
        }
        let longest = dx.chunks(2).map(|d| d[0].hypot(d[1])).fold(1e-300, f64::max);
        let stroke = 1.2 * scale / longest;
        for (centre, d) in x.chunks(2).zip(dx.chunks(2)) {
            let length = (d[0].hypot(d[1]) * stroke).ceil() as usize + 1;
            for k in 0..=length {
                let t = stroke * k as f64 / length as f64;
                for (a, b) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)] {
                    dot(
                        centre[0] * scale + d[0] * t + a,
                        centre[1] * scale + d[1] * t + b,
                        [200, 30, 30],
                    );
                }
            }
        }
        Image::rgb(SIDE, SIDE, &pixels)
    }
}

fn conclude(names: &[String], finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    let mut table = Table::new(
        "Sensitivity of packings, against difference quotients",
        ["arm", "median error", "largest error", "largest residual", "Hessian products", "seconds", "failed"],
    )
    .caption("For the dynamics, products count its steps; failed: share of packings with an error above one half.");
    let mut bars =
        Picture::bars("Median error of the sensitivity", Axis::new("relative error").log());
    for arm in names {
        let figure = |f: &str| finals.figure(&format!("{arm}.{f}")).unwrap_or(f64::NAN);
        let mut row = vec![Cell::from(arm.as_str())];
        let columns = ["error", "largest_error", "residual", "products", "seconds", "failed"];
        row.extend(columns.map(|f| Cell::from(figure(f))));
        table = table.row(row);
        bars = bars.bar(arm.as_str(), figure("error"));
    }
    watch.table("sensitivity", table)?;
    watch.picture("errors", bars)
}
