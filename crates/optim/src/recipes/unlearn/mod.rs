//! Forgetting some classes, and how well that withstands learning them again.

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
use process::{Originals, RADIUS, Unlearning, cross_entropies, mean_curve};

/// `kind = "unlearn"`: every arm makes the same networks forget the same classes in its own way; then a few of the forgotten examples
/// are learned again.
pub struct Unlearn;

pub(super) const UNLEARN_RECIPES: [RecipeEntry; 2] = [
    recipe!(
        "unlearn-digits",
        "Unlearning two digits, plain and smoothed, against relearning attacks"
    ),
    recipe!(
        "smoothers-digits",
        "SGD and five ways of smoothing its loss on digits with noisy labels"
    ),
];

pub(super) const UNLEARN_METHOD: Method = Method {
    slug: "sam-unlearning",
    title: "Smooth unlearning (SAM, randomized smoothing, gradient and curvature penalty, weight averaging)",
    paper: "Towards LLM Unlearning Resilient to Relearning Attacks: A Sharpness-Aware Minimization Perspective and Beyond",
    arxiv: Some("2502.05374"),
    authors: "Chongyu Fan, Jinghan Jia, Yihua Zhang, Anil Ramakrishna, Mingyi Hong, Sijia Liu",
    year: 2025,
    field: "training",
    summary: "Forgets on a flat loss, so that a few steps of fine-tuning do not bring the knowledge back",
    recipes: &["unlearn-digits", "smoothers-digits"],
    bibtex: "@inproceedings{fan2025unlearning,\n  title = {Towards {LLM} Unlearning Resilient to Relearning Attacks: A Sharpness-Aware Minimization Perspective and Beyond},\n  author = {Fan, Chongyu and Jia, Jinghan and Zhang, Yihua and Ramakrishna, Anil and Hong, Mingyi and Liu, Sijia},\n  booktitle = {International Conference on Machine Learning},\n  year = {2025}\n}",
};

impl RecipeKind for Unlearn {
    type Config = Config;

    fn name(&self) -> &'static str {
        "unlearn"
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
        let steps = arms.first().map(|a| a.config.relearn.steps.clone()).unwrap_or_default();
        let mut names = Vec::new();
        let mut made: Vec<Arc<Originals>> = Vec::new();
        for arm in arms {
            let originals = made.iter().find(|known| known.fit(&arm.config)).cloned();
            let originals = originals.unwrap_or_else(|| {
                made.push(Arc::new(Originals::new(&arm.config, setup)));
                made[made.len() - 1].clone()
            });
            names.push(arm.name.clone());
            experiment = experiment.arm(arm.name, Unlearning::new(&arm.config, originals));
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, &steps, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let relearned = config.relearn.steps.iter().map(|step| format!("relearned_{step}"));
        let fixed = [
            "original_forget_accuracy",
            "original_retain_accuracy",
            "forget_accuracy",
            "retain_accuracy",
            "forget_sharpness",
        ];
        Some(fixed.map(String::from).into_iter().chain(relearned).collect())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        let data = Dataset::bundled(&arm.config.data.name).map_err(Error::other)?;
        let part = data.select(&(0..data.len().min(8)).collect::<Vec<_>>()).cast(DType::F64);
        let inputs: usize = part.inputs.shape()[1..].iter().product();
        let classes = data.classes().unwrap_or(1);
        // A small network: finite differences evaluate the loss a thousand times.
        let network = MlpConfig::new(&[inputs, 8, classes]).build(&Stream::new(setup.seed));
        let network = lisse_nn::to_dtype(&network, DType::F64);
        let reference = cross_entropies(&network, &part).stop_gradient() * 0.7;
        let objective = arm.config.unlearn.objective;
        let loss = move |net: &Mlp| objective.loss(&cross_entropies(net, &part), &reference);
        Ok(vec![Audit::new("forget loss", network, loss)])
    }
}

/// One table and one picture of the attacks.
fn conclude(
    names: &[String],
    steps: &[u64],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let columns = ["method", "forget accuracy", "retain accuracy", "forget sharpness"];
    let columns =
        columns.map(String::from).into_iter().chain(steps.iter().map(|s| format!("@{s}")));
    let mut table = Table::new("Unlearning and relearning", columns);
    let accuracy = Axis::new("accuracy on the forgotten classes");
    let mut lines = Picture::lines("Relearning", Axis::new("steps of relearning"), accuracy);
    for arm in names {
        let figure = |name: &str| finals.figure(&format!("{arm}.{name}")).unwrap_or(f64::NAN);
        let fixed = ["forget_accuracy", "retain_accuracy", "forget_sharpness"];
        let relearned = steps.iter().map(|s| Cell::from(figure(&format!("relearned_{s}"))));
        let cells = fixed.into_iter().map(|name| Cell::from(figure(name))).chain(relearned);
        table = table.row(std::iter::once(Cell::from(arm.as_str())).chain(cells));
        if let Some(state) = finals.state::<Unlearning>(arm) {
            let curve = mean_curve(&state.outcomes).into_iter().enumerate();
            lines = lines.series(arm.as_str(), curve.map(|(step, a)| (step as f64, a)));
        }
    }
    let caption = format!(
        "@n: accuracy on held-out examples of the forgotten classes after n steps of relearning. Sharpness: rise of the forget loss within distance {RADIUS}."
    );
    watch.table("relearning", table.caption(caption))?;
    watch.picture("relearning", lines.caption("Means over models and attacks."))
}

#[cfg(test)]
mod tests {
    use lisse_run::{Number, rehearse};

    use super::*;

    fn config(smoothing: &str, epochs: u64) -> Config {
        let adam = r#"{"optimizer": {"name": "adam", "learning_rate": 0.003}}"#;
        let text = format!(
            r#"{{
                "data": {{"name": "digits", "forget": [3, 8]}},
                "model": {{"hidden": [16]}},
                "original": {{"epochs": {epochs}, "batch_size": 32, "method": {adam}}},
                "unlearn": {{
                    "objective": {{"name": "npo", "beta": 1.0}},
                    "smoothing": {smoothing},
                    "steps": 20, "batch_size": 32, "method": {adam}
                }},
                "relearn": {{"samples": 20, "batch_size": 16, "steps": [2, 5], "method": {adam}}},
                "repeats": {{"models": 2, "attacks": 2}}
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

    fn figures(arms: Vec<(&str, Config)>) -> Vec<(String, Number)> {
        let arms = arms.into_iter().map(|(name, config)| Arm { name: name.into(), config });
        let experiment = Unlearn.experiment(&setup(), arms.collect()).unwrap();
        rehearse(&experiment).unwrap().figures.into_iter().collect()
    }

    #[test]
    fn figures_are_those_announced_and_no_radius_is_no_smoothing() {
        let plain = config(r#"{"name": "none"}"#, 2);
        let announced = Unlearn.figures(&plain).unwrap();
        let still = config(r#"{"name": "sam", "rho": 0.0}"#, 2);
        let found = figures(vec![("plain", plain), ("still", still)]);
        assert_eq!(found.len(), 2 * announced.len());
        for (i, name) in announced.iter().enumerate() {
            let (a, b) = (&found[i], &found[announced.len() + i]);
            assert_eq!((&a.0, &b.0), (&format!("plain.{name}"), &format!("still.{name}")));
            assert_eq!(a.1.0.to_bits(), b.1.0.to_bits(), "{name}");
        }
    }

    #[test]
    fn arms_share_originals_only_where_they_agree() {
        let originals = Originals::new(&config(r#"{"name": "none"}"#, 2), &setup());
        assert!(originals.fit(&config(r#"{"name": "sam", "rho": 0.5}"#, 2)));
        assert!(!originals.fit(&config(r#"{"name": "none"}"#, 3)));
    }

    #[test]
    fn values_out_of_range_name_themselves() {
        type Change = fn(&mut Config);
        let key = |change: Change| {
            let mut config = config(r#"{"name": "gradient-penalty", "lambda": 0.1}"#, 2);
            assert!(Unlearn.validate(&config).is_ok());
            change(&mut config);
            format!("{:?}", Unlearn.validate(&config).unwrap_err())
        };
        let cases: [(Change, &str); 5] = [
            (|c| c.relearn.batch_size = 21, "relearn.batch_size"),
            (|c| c.relearn.steps = vec![5, 5], "relearn.steps"),
            (|c| c.data.forget.clear(), "data.forget"),
            (|c| c.unlearn.retain_weight = -1.0, "unlearn.retain_weight"),
            (|c| c.repeats.attacks = 0, "repeats.attacks"),
        ];
        for (change, expected) in cases {
            let found = key(change);
            assert!(found.contains(expected), "{found}");
        }
    }
}
