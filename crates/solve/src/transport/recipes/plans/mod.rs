//! Plans with few entries beside entropic and exact ones.

mod config;
mod process;

use lisse_array::Array;
use lisse_run::report::{Axis, Cell, Image, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, RecipeEntry, RecipeKind, Setup, Watch, recipe,
};

use crate::transport::{SparseOt, SparsePlan};
pub use config::Config;
use config::{MethodConfig, Palettes};
use process::{FIGURES, Runner};

/// `kind = "transport"`: every arm is a method, with one or several bounds on the entries of a column.
pub struct Plans;

pub(super) const COLOURS: RecipeEntry = recipe!(
    "transport-colours",
    "The colours of one photograph to those of another, with 1 to 64 entries in a column of the plan"
);

impl RecipeKind for Plans {
    type Config = Config;

    fn name(&self) -> &'static str {
        "transport"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        config.validate()
    }

    fn experiment(&self, _: &Setup, arms: Vec<Arm<Config>>) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut entries = Vec::new();
        for arm in arms {
            let runner = Runner::new(&arm.config)?;
            let sparse = matches!(arm.config.method, MethodConfig::Sparse { .. });
            entries.push((arm.name.clone(), sparse, runner.palettes.clone()));
            experiment = experiment.arm(arm.name, runner);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let labels = config.method.tasks().into_iter().map(|(label, _)| label);
        Some(labels.flat_map(|label| FIGURES.map(|f| format!("{label}.{f}"))).collect())
    }

    /// The quadratic layer's value on a corner of the problem.
    fn audit(&self, _: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        let (problem, _) = arm.config.data.load()?;
        let (m, n) = (problem.sources().min(5), problem.targets().min(4));
        let costs = (0..m * n).map(|e| problem.cost(e / n, e % n)).collect();
        let costs = Array::from_vec::<f64>(costs, &[m, n]);
        let logits = |count: usize| {
            Array::from_vec((0..count).map(|i| 0.3 * (i as f64).sin()).collect(), &[count])
        };
        let at = (logits(m), logits(n), costs);
        let ot = SparseOt { tolerance: 1e-12, max_iterations: 3000, ..SparseOt::quadratic(1.0) };
        let value = move |(a, b, c): &(Array, Array, Array)| match ot.layer(
            &a.softmax(0),
            &b.softmax(0),
            c,
        ) {
            Ok(found) => found.value,
            Err(_) => c.sum_all() * f64::NAN,
        };
        Ok(vec![Audit::new("value of quadratic transport", at, value)])
    }
}

fn conclude(
    arms: &[(String, bool, Option<Palettes>)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let mut table = Table::new(
        "Plans",
        [
            "arm",
            "entries",
            "dual value",
            "gap",
            "cost",
            "density",
            "most in a column",
            "row error",
            "L-BFGS",
            "bundle",
            "evaluations",
            "seconds",
        ],
    );
    let axis = || Axis::new("most entries of a column").log();
    let mut values = Picture::lines("Dual value", axis(), Axis::new("D"));
    let mut errors =
        Picture::lines("Row error of the plan", axis(), Axis::new("|T 1 - a|").linear());
    let mut work = Picture::bars("Evaluations of the dual", Axis::new("evaluations"));
    let mut photographs = Picture::images("The first photograph in the second one's colours", 4);
    let mut shown = false;
    for (arm, sparse, palettes) in arms {
        let Some(state) = finals.state::<Runner>(arm) else { continue };
        let mut curve = (Vec::new(), Vec::new());
        for solved in &state.results {
            let figure =
                |name: &str| solved.figures.iter().find(|f| f.0 == name).map_or(f64::NAN, |f| f.1);
            let mut row = vec![Cell::from(arm.as_str()), Cell::from(solved.label.as_str())];
            row.extend(
                [
                    "value",
                    "gap",
                    "cost",
                    "density",
                    "most",
                    "row_error",
                    "iterations",
                    "cuts",
                    "evaluations",
                    "seconds",
                ]
                .map(|f| Cell::from(figure(f))),
            );
            table = table.row(row);
            if *sparse {
                let k = solved.label.strip_prefix('k').and_then(|k| k.parse::<f64>().ok());
                let k = k.unwrap_or(solved.plan.sources() as f64);
                curve.0.push((k, figure("value")));
                curve.1.push((k, figure("row_error")));
                work = work.bar_in(arm.as_str(), solved.label.as_str(), figure("evaluations"));
            }
            if let Some(palettes) = palettes {
                if !shown {
                    photographs =
                        photographs.image(photograph(palettes, &palettes.source)?, "as it is");
                    shown = true;
                }
                let colours = transferred(palettes, &solved.plan);
                photographs = photographs
                    .image(photograph(palettes, &colours)?, format!("{arm} {}", solved.label));
            }
        }
        if *sparse {
            values = values.series(arm.as_str(), curve.0);
            errors = errors.series(arm.as_str(), curve.1);
        }
        if let Some(last) = state.results.first() {
            watch.picture(
                &format!("plan-{arm}"),
                heat(&format!("Plan, {arm} {}", last.label), last)?,
            )?;
        }
    }
    watch.table("plans", table.caption("The dual value bounds the cost with its penalty from below; the gap is the distance to a certified upper bound."))?;
    watch.picture("values", values)?;
    watch.picture("row-errors", errors)?;
    watch.picture("evaluations", work)?;
    if shown {
        watch.picture(
            "photographs",
            photographs
                .caption("Every colour becomes the mean of those that the plan sends it to."),
        )?;
    }
    Ok(())
}

/// A plan in colours.
fn heat(title: &str, solved: &process::Solved) -> Result<Picture, Error> {
    let (m, n) = (solved.plan.sources(), solved.plan.targets());
    if m < 2 || n < 2 {
        return Err(Error::message("a plan of one row or column has no picture"));
    }
    let axis = |count: usize| (0..count).map(|i| i as f64).collect::<Vec<_>>();
    let values =
        solved.plan.to_dense().into_iter().map(|t| if t > 0.0 { t } else { f64::NAN }).collect();
    let heat = Picture::heat(
        title,
        Axis::new("target").linear(),
        Axis::new("source").linear(),
        axis(n),
        axis(m),
        values,
    );
    Ok(heat.value(Axis::new("mass").linear()).into())
}

/// For every colour of the first palette the mean of what the plan sends it to; one that sends nothing keeps itself.
fn transferred(palettes: &Palettes, plan: &SparsePlan) -> Vec<f64> {
    let means = plan.barycentres(&palettes.target, 3);
    let own = palettes.source.chunks(3);
    means
        .into_iter()
        .zip(own)
        .flat_map(|(mean, own)| mean.unwrap_or_else(|| own.to_vec()))
        .collect()
}

fn photograph(palettes: &Palettes, colours: &[f64]) -> Result<Image, Error> {
    let width = palettes.picture.first().map_or(0, Vec::len);
    let byte = |value: &f64| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let pixels = palettes.picture.iter().flatten();
    let bytes: Vec<u8> = pixels.flat_map(|&c| colours[3 * c..3 * c + 3].iter().map(byte)).collect();
    Image::rgb(width, palettes.picture.len(), &bytes)
}

/// The problem of the palettes, for tests.
#[cfg(test)]
pub(super) fn palette_problem() -> crate::transport::Problem {
    config::DataConfig::Palettes.load().expect("bundled").0
}
