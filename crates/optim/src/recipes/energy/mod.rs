//! Energies learned from data, arm against arm: likelihoods, densities, samples, and telling the foreign from the familiar.

mod config;
mod pictures;
mod process;
mod task;

use lisse_array::{Array, DType};
use lisse_run::{
    Arm, Audit, Error, Experiment, Invalid, Method, RecipeEntry, RecipeKind, Setup, recipe,
};

use crate::energy::Energy;
use config::{Config, Learned};
use process::Training;

/// The recipes of this kind.
pub const ENERGY_RECIPES: [RecipeEntry; 2] = [
    recipe!(
        "meco-density",
        "Unnormalized densities on the line and in the plane against their closed forms"
    ),
    recipe!("energy-digits", "Energy models of digits: likelihood, samples, foreign classes"),
];

/// The method behind them.
pub const ENERGY_METHOD: Method = Method {
    slug: "compositional-nce",
    title: "Unnormalized models (MECO, NCE)",
    paper: "Learning Unnormalized Statistical Models via Compositional Optimization",
    arxiv: Some("2306.07485"),
    authors: "Wei Jiang, Jiayu Qin, Lingyu Wu, Changyou Chen, Tianbao Yang, Lijun Zhang",
    year: 2023,
    field: "training",
    summary: "Maximum likelihood for densities without their integral: a moving average tracks it, no chains needed",
    recipes: &["meco-density", "energy-digits"],
    bibtex: "@inproceedings{jiang2023learning,\n  title = {Learning Unnormalized Statistical Models via Compositional Optimization},\n  author = {Jiang, Wei and Qin, Jiayu and Wu, Lingyu and Chen, Changyou and Yang, Tianbao and Zhang, Lijun},\n  booktitle = {International Conference on Machine Learning},\n  series = {Proceedings of Machine Learning Research},\n  volume = {202}, pages = {15105--15124},\n  year = {2023}\n}",
};

/// `kind = "energy"`: every arm learns an energy by its own objective.
pub struct EnergyModels;

impl RecipeKind for EnergyModels {
    type Config = Config;

    fn name(&self) -> &'static str {
        "energy"
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
        let mut entries = Vec::new();
        for arm in arms {
            let training = Training::new(&arm.config, setup)?;
            entries.push((arm.name.clone(), training.clone()));
            experiment = experiment.arm(arm.name, training);
        }
        Ok(experiment.conclude(move |finals, watch| pictures::conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        Some(config.figures())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(mut arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        arm.config.training.dtype = DType::F64;
        let training = Training::new(&arm.config, setup)?;
        let part = training.task.test.narrow(0, 0, 8.min(training.task.test.dim(0)));
        let mean = move |energy: &Learned| -> Array { energy.energy(&part).square().mean_all() };
        Ok(vec![Audit::new("mean square of the energy", training.energy(), mean)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_run::{Ranks, rehearse};

    const DIGITS: &str = r#"{"data": {"name": "digits", "classes": [0, 1], "components": 3},
        "noise": {"name": "gaussian"}, "energy": {"name": "mlp", "hidden": [8]},
        "method": {"optimizer": {"name": "adam", "learning_rate": 0.001}},
        "training": {"steps": 4, "batch_size": 16}, "evaluation": {"samples": 1000, "every": 2}}"#;

    fn read(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    /// Figures of an arm in a whole run.
    fn figures(text: &str, seed: u64) -> Vec<(String, f64)> {
        let setup = Setup {
            name: "energy".into(),
            seed,
            device: lisse_array::Device::Cpu,
            quick: true,
            ranks: Ranks::alone(),
        };
        let arms = vec![Arm { name: String::new(), config: read(text) }];
        let experiment = EnergyModels.experiment(&setup, arms).unwrap();
        let outcome = rehearse(&experiment).unwrap();
        outcome.figures.into_iter().map(|(name, value)| (name, value.0)).collect()
    }

    #[test]
    fn figures_are_those_that_were_announced() {
        let line = r#"{"data": {"name": "gaussian", "mean": 2.0}, "noise": {"name": "isotropic", "deviation": 3.0},
            "energy": {"name": "location"}, "estimator": {"form": "free", "objective": {"name": "nce"}},
            "method": {"optimizer": {"name": "gradient-average", "learning_rate": 0.1}},
            "training": {"steps": 60, "batch_size": 8}}"#;
        let plane = r#"{"data": {"name": "planar", "shape": "checkerboard"}, "noise": {"name": "flow", "couplings": 2, "hidden": 4, "steps": 3},
            "energy": {"name": "mlp", "hidden": [4]}, "method": {"optimizer": {"name": "sgd", "learning_rate": 0.1}},
            "training": {"steps": 2, "batch_size": 8}}"#;
        for text in [DIGITS, line, plane] {
            let mut announced = read(text).figures();
            let mut found: Vec<String> = figures(text, 0).into_iter().map(|f| f.0).collect();
            announced.sort();
            found.sort();
            assert_eq!(announced, found);
        }
    }

    #[test]
    fn a_training_is_a_function_of_its_seed() {
        assert_eq!(figures(DIGITS, 1), figures(DIGITS, 1));
        assert_ne!(figures(DIGITS, 1), figures(DIGITS, 2));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |from: &str, to: &str| {
            assert!(DIGITS.contains(from));
            format!("{:?}", EnergyModels.validate(&read(&DIGITS.replace(from, to))).err())
        };
        assert_eq!(format!("{:?}", EnergyModels.validate(&read(DIGITS)).err()), "None");
        for (from, to, key) in [
            ("[0, 1]", "[10]", "data.classes"),
            ("[0, 1]", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "data.classes"),
            (r#""components": 3"#, r#""components": 0"#, "data.components"),
            (r#""name": "gaussian""#, r#""name": "isotropic", "deviation": -1"#, "noise.deviation"),
            (r#""steps": 4"#, r#""steps": 0"#, "training.steps"),
            ("0.001", "0.0", "method.optimizer.learning_rate"),
            (
                r#""method""#,
                r#""estimator": {"objective": {"name": "meco", "gamma": 2.0}}, "method""#,
                "estimator.objective.gamma",
            ),
        ] {
            let found = refused(from, to);
            assert!(found.contains(&format!("\"{key}\"")), "{key}: {found}");
        }
    }
}
