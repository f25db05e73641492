//! Routers of a mixture of experts beside each other.

mod config;
mod model;
mod process;

use lisse_array::DType;
use lisse_nn::to_dtype;
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, RecipeEntry, RecipeKind, Setup, Watch, recipe,
};

pub use config::Config;
use model::Mixture;
use process::{FIGURES, Trainer};

/// `kind = "transport-router"`: every arm is a router of the same network on digits, trained from the same seeds.
pub struct Routers;

pub(super) const ROUTER: RecipeEntry =
    recipe!("transport-router", "Routers of a mixture of experts on digits: load and accuracy");

impl RecipeKind for Routers {
    type Config = Config;

    fn name(&self) -> &'static str {
        "transport-router"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        config.validate()
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
            experiment = experiment.arm(arm.name, Trainer::new(&arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, _: &Config) -> Option<Vec<String>> {
        Some(FIGURES.map(String::from).to_vec())
    }

    /// The loss of a small batch, with the dispatch of the first arm's router held.
    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        let mut config = arm.config;
        (config.model.width, config.model.hidden, config.training.batch_size) = (4, 3, 4);
        let trainer = Trainer::new(&config, setup.seed)?;
        let (images, labels) = trainer.batch(0, 0)?;
        let images = images.cast(DType::F64);
        let model = to_dtype(&trainer.model(0), DType::F64);
        let pass = model.forward(&images, &config.method.router()).map_err(Error::other)?;
        let loss = move |model: &Mixture| {
            model.loss_with(&images, &labels, &pass.dispatch, config.method.auxiliary)
        };
        Ok(vec![Audit::new("loss of the mixture", model, loss)])
    }
}

fn conclude(names: &[String], finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    let columns =
        ["router", "accuracy", "least", "largest over mean demand", "least", "most", "served"];
    let mut table = Table::new("Routers", columns);
    let mut shares =
        Picture::bars("Share of the tokens that want each expert", Axis::new("share").linear());
    let mut accuracy = Picture::bars("Accuracy", Axis::new("accuracy").linear());
    for name in names {
        let Some(state) = finals.state::<Trainer>(name) else { continue };
        let figure = |f: &str| finals.figure(&format!("{name}.{f}")).unwrap_or(f64::NAN);
        let mut row = vec![Cell::from(name.as_str())];
        row.extend(FIGURES.map(|f| Cell::from(figure(f))));
        table = table.row(row);
        accuracy = accuracy.bar(name.as_str(), figure("accuracy"));
        if let Some(first) = state.outcomes.first() {
            let mut sorted = first.shares.clone();
            sorted.sort_by(|x, y| y.total_cmp(x));
            for (rank, share) in sorted.iter().enumerate() {
                shares = shares.bar_in(format!("expert {}", rank + 1), name.as_str(), *share);
            }
        }
    }
    watch.table("routers", table.caption("Means and extremes over trainings; demand is counted before experts are full, on the test images."))?;
    watch.picture(
        "shares",
        shares.caption("First training; experts in the order of their share."),
    )?;
    watch.picture("accuracy", accuracy)
}
