//! How much of a network can be removed, and by which measure.

mod config;
mod process;

use std::sync::Arc;

use lisse_array::{DType, Stream};
use lisse_data::Dataset;
use lisse_nn::models::{Mlp, MlpConfig};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Method, RecipeEntry, RecipeKind, Setup, Watch,
    recipe,
};

use config::Config;
use process::{Originals, Pruning, loss, means};

/// `kind = "prune"`: every arm removes weights of the same networks in its own way.
pub struct Prune;

pub(super) const MFAC_RECIPES: [RecipeEntry; 2] = [
    recipe!("mfac-prune", "Pruning by M-FAC against magnitude and the diagonal Fisher matrix"),
    recipe!("mfac-digits", "Training by M-FAC against SGD and Adam"),
];

pub(super) const MFAC_METHOD: Method = Method {
    slug: "mfac",
    title: "M-FAC: matrix-free inverse Fisher products for training and pruning",
    paper: "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information",
    arxiv: Some("2107.03356"),
    authors: "Elias Frantar, Eldar Kurtic, Dan Alistarh",
    year: 2021,
    field: "training",
    summary: "Preconditions gradients, and prunes weights, by the exact inverse of the Fisher matrix of a window of gradients",
    recipes: &["mfac-prune", "mfac-digits"],
    bibtex: "@inproceedings{frantar2021mfac,\n  title = {{M-FAC}: Efficient Matrix-Free Approximations of Second-Order Information},\n  author = {Frantar, Elias and Kurtic, Eldar and Alistarh, Dan},\n  booktitle = {Advances in Neural Information Processing Systems},\n  year = {2021}\n}",
};

impl RecipeKind for Prune {
    type Config = Config;

    fn name(&self) -> &'static str {
        "prune"
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
        let mut described = Vec::new();
        let mut made: Vec<Arc<Originals>> = Vec::new();
        for arm in arms {
            let originals = made.iter().find(|known| known.fit(&arm.config)).cloned();
            let originals = originals.unwrap_or_else(|| {
                made.push(Arc::new(Originals::new(&arm.config, setup)));
                made[made.len() - 1].clone()
            });
            described.push((arm.name.clone(), arm.config.prune.sparsities.clone()));
            experiment = experiment.arm(arm.name, Pruning::new(&arm.config, originals));
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&described, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let sparse = config.prune.sparsities.iter().map(|&s| Config::figure(s));
        Some(std::iter::once("dense_accuracy".to_string()).chain(sparse).collect())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        let data = Dataset::bundled(&arm.config.data.name).map_err(Error::other)?;
        let part = data.select(&(0..data.len().min(8)).collect::<Vec<_>>()).cast(DType::F64);
        let inputs: usize = part.inputs.shape()[1..].iter().product();
        // A small network: finite differences evaluate the loss a thousand times.
        let network = MlpConfig::new(&[inputs, 8, data.classes().unwrap_or(1)])
            .activation(arm.config.model.activation)
            .build(&Stream::new(setup.seed));
        let network = lisse_nn::to_dtype(&network, DType::F64);
        Ok(vec![Audit::new("training loss", network, move |net: &Mlp| loss(net, &part))])
    }
}

/// Accuracy by sparsity: one table, one picture.
fn conclude(
    arms: &[(String, Vec<f64>)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let mut lines = Picture::lines(
        "Accuracy of pruned networks",
        Axis::new("share of the weights removed"),
        Axis::new("test accuracy"),
    );
    let mut table = Table::new("Accuracy of pruned networks", ["arm", "sparsity", "test accuracy"]);
    for (arm, sparsities) in arms {
        let Some(state) = finals.state::<Pruning>(arm) else { continue };
        let levels = std::iter::once(0.0).chain(sparsities.iter().copied());
        let points: Vec<(f64, f64)> = levels.zip(means(&state.accuracies)).collect();
        for &(sparsity, accuracy) in &points {
            let cells = [Cell::from(arm.as_str()), Cell::from(sparsity), Cell::from(accuracy)];
            table = table.row(cells);
        }
        lines = lines.series(arm.as_str(), points);
    }
    let caption = "Means over the networks, each with its own split, initial values and draws.";
    watch.table("accuracies", table.caption(caption))?;
    watch.picture("accuracies", lines.caption(caption))
}

#[cfg(test)]
mod tests {
    use lisse_run::rehearse;

    use super::*;

    fn config(prune: &str, retrain: &str) -> Config {
        let adam = r#"{"optimizer": {"name": "adam", "learning_rate": 0.003}}"#;
        let text = format!(
            r#"{{
                "data": {{"name": "digits"}},
                "model": {{"hidden": [8], "activation": "tanh"}},
                "dense": {{"epochs": 3, "batch_size": 32, "method": {adam}}},
                "prune": {{"gradients": 20, "rounds": 2, "sparsities": [0.5, 0.8], {prune}}}
                {retrain}
            }}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn setup() -> Setup {
        Setup {
            name: "test".into(),
            seed: 0,
            device: lisse_array::Device::Cpu,
            quick: true,
            ranks: lisse_run::Ranks::alone(),
        }
    }

    #[test]
    fn figures_are_those_announced_in_one_shot_and_gradually() {
        let retrain = r#", "retrain": {"epochs": 1, "batch_size": 32, "method": {"optimizer": {"name": "sgd", "learning_rate": 0.05}}}"#;
        let arms = [
            ("magnitude", config(r#""criterion": "magnitude""#, "")),
            ("mfac", config(r#""criterion": "inverse-fisher", "block": 50"#, "")),
            ("gradual", config(r#""criterion": "diagonal-fisher", "batch_size": 80"#, retrain)),
        ];
        let announced: Vec<String> = arms
            .iter()
            .flat_map(|(name, c)| {
                Prune.figures(c).unwrap().into_iter().map(move |f| format!("{name}.{f}"))
            })
            .collect();
        let arms = arms.map(|(name, config)| Arm { name: name.into(), config });
        let experiment = Prune.experiment(&setup(), arms.into()).unwrap();
        let found = rehearse(&experiment).unwrap().figures;
        assert_eq!(found.len(), announced.len());
        for name in announced {
            let value = found.iter().find(|(n, _)| **n == name).map(|(_, v)| v.0);
            assert!(value.is_some_and(|v| (0.0..=1.0).contains(&v)), "{name}: {value:?}");
        }
    }

    #[test]
    fn values_out_of_range_name_themselves() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 5] = [
            (|c| c.prune.damping = 0.0, "prune.damping"),
            (|c| c.prune.sparsities = vec![0.9, 0.5], "prune.sparsities"),
            (|c| c.prune.gradients = 0, "prune.gradients"),
            (|c| c.dense.epochs = 0, "dense.epochs"),
            (|c| c.repeats = 0, "repeats"),
        ];
        for (change, key) in cases {
            let mut config = config(r#""criterion": "magnitude""#, "");
            assert!(Prune.validate(&config).is_ok());
            change(&mut config);
            let found = format!("{:?}", Prune.validate(&config).unwrap_err());
            assert!(found.contains(key), "{found}");
        }
        assert_eq!(Config::figure(0.9), "accuracy_90");
        assert_eq!(Config::figure(0.975), "accuracy_97_5");
    }
}
