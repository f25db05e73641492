//! A small process for tests: noisy gradient descent, whose noise comes from the seed and the step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lisse_array::{Array, DType, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::report::{Axis, Picture};
use crate::{Arm, Audit, Error, Experiment, Interrupt, Invalid, Process, RecipeEntry, RecipeKind, Registry, Setup, Step, Stop, Watch};

/// Interrupts the run of a test from inside.
#[derive(Clone, Default)]
pub(crate) struct Trap {
    pub(crate) interrupt: Interrupt,
    /// Steps (over all arms) before the interruption; 0 for never.
    pub(crate) after: Arc<AtomicU64>,
    /// Whether `finish` is interrupted instead.
    pub(crate) in_finish: bool,
}

impl Trap {
    fn step(&self) {
        if self.after.load(Ordering::SeqCst) > 0 && self.after.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.interrupt.request();
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ToyConfig {
    pub(crate) rate: f64,
    pub(crate) steps: u64,
    /// The step at which the position becomes NaN.
    pub(crate) poison: u64,
    /// Milliseconds that a step takes.
    pub(crate) pause_ms: u64,
}

impl Default for ToyConfig {
    fn default() -> Self {
        ToyConfig { rate: 0.1, steps: 10, poison: 0, pause_ms: 0 }
    }
}

#[derive(Clone, Tree, Serialize, Deserialize)]
pub(crate) struct ToyState {
    pub(crate) position: Array,
    velocity: Vec<Array>,
    done: u64,
    best: f64,
}

pub(crate) struct Toy {
    config: ToyConfig,
    noise: Stream,
    trap: Trap,
}

impl Process for Toy {
    type State = ToyState;

    fn start(&self) -> Result<ToyState, Error> {
        let position = Array::from_vec(vec![1.0f32, -2.0, 0.5], &[3]);
        Ok(ToyState { velocity: vec![position.zeros_like()], position, done: 0, best: f64::INFINITY })
    }

    fn advance(&self, state: &mut ToyState, watch: &mut Watch) -> Result<Step, Error> {
        let noise = self.noise.at(state.done).normal(&[3], DType::F32) * 0.01;
        state.velocity[0] = &state.velocity[0] * 0.9 + &state.position + noise;
        state.position = &state.position - &state.velocity[0] * self.config.rate;
        state.done += 1;
        if state.done == self.config.poison {
            state.velocity[0] = state.velocity[0].full_like(f64::NAN);
        }
        let loss = (&state.position + &state.velocity[0] * 0.0).square().sum_all().item();
        state.best = state.best.min(loss);
        watch.metric("loss", loss);
        watch.metric("best", state.best);
        std::thread::sleep(std::time::Duration::from_millis(self.config.pause_ms));
        self.trap.step();
        Ok(if loss < 1e-12 { Step::Done(Stop::Converged { criterion: "loss < 1e-12".into() }) } else { Step::Continue })
    }

    fn finish(&self, state: &ToyState, watch: &mut Watch) -> Result<(), Error> {
        watch.phase("measuring", Some(2));
        if self.trap.in_finish {
            self.trap.interrupt.request();
        }
        watch.tick()?;
        watch.figure("loss", state.position.square().sum_all().item());
        watch.figure("best", state.best);
        let path = Picture::lines("Where it ended", Axis::new("coordinate"), Axis::new("value"));
        watch.picture("end", path.series("position", state.position.to_f64_vec().into_iter().enumerate().map(|(i, v)| (i as f64, v))))
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.steps)
    }
}

#[derive(Default)]
pub(crate) struct ToyKind {
    pub(crate) trap: Trap,
}

// Arrays in the trap's closures are not shared; the interrupt and the counter are.
impl RecipeKind for ToyKind {
    type Config = ToyConfig;

    fn name(&self) -> &'static str {
        "toy"
    }

    fn validate(&self, config: &ToyConfig) -> Result<(), Invalid> {
        if config.rate > 0.0 { Ok(()) } else { Err(Invalid::new("rate", "a number above 0")) }
    }

    fn experiment(&self, setup: &Setup, arms: Vec<Arm<ToyConfig>>) -> Result<Experiment<'static>, Error> {
        let add = |experiment: Experiment<'static>, arm: Arm<ToyConfig>| {
            let noise = Stream::new(setup.seed).child("noise");
            experiment.arm(arm.name, Toy { config: arm.config, noise, trap: self.trap.clone() })
        };
        let experiment = arms.into_iter().fold(Experiment::new(), add);
        Ok(experiment.conclude(|finals, watch| {
            if let (Some(slow), Some(fast)) = (finals.state::<Toy>("slow"), finals.state::<Toy>("fast")) {
                watch.figure("distance", (&slow.position - &fast.position).square().sum_all().item());
            }
            Ok(())
        }))
    }

    fn figures(&self, _: &ToyConfig) -> Option<Vec<String>> {
        Some(vec!["loss".into(), "best".into()])
    }

    fn audit(&self, _: &Setup, _: Vec<Arm<ToyConfig>>) -> Result<Vec<Audit>, Error> {
        Ok(vec![Audit::new("loss", Array::ones(&[3], DType::F64), |x: &Array| x.square().sum_all())])
    }
}

pub(crate) const TOY: RecipeEntry = RecipeEntry {
    name: "toy-race",
    title: "Two step sizes",
    text: "kind = \"toy\"\nseed = 5\nclaims = [\"fast.loss < slow.loss\", \"distance > 0\"]\nsteps = 6\n\
           [arms.slow]\nrate = 0.01\n[arms.fast]\nrate = 0.1\n[quick]\nsteps = 2\n",
};

pub(crate) fn registry(trap: Trap) -> Registry {
    let mut registry = Registry::new();
    registry.add_kind(ToyKind { trap }).add_recipe(TOY);
    registry
}
