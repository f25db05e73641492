//! What trained energies look like.

use lisse_array::{Array, DType};
use lisse_run::report::{Axis, Image, Picture};
use lisse_run::{Error, Finals, Watch};

use super::config::Learned;
use super::process::Training;
use super::task::Law;
use crate::energy::{Langevin, Whitener, resample};

/// Half the side of the square on which plane densities are shown and integrated, and cells along it.
const REACH: f64 = 6.0;
const CELLS: usize = 120;
/// Images in a row.
const COLUMNS: usize = 12;

/// Figures and pictures of one arm.
pub fn of_arm(training: &Training, energy: &Learned, watch: &mut Watch) -> Result<(), Error> {
    if let Some(law @ Law::Plane(_)) = training.task.law() {
        on_grid(training, law, energy, watch)?;
    }
    match &training.task.whitener {
        Some(whitener) => samples(training, whitener, energy, watch),
        None => Ok(()),
    }
}

/// The density in the plane, normalized on a grid, against the closed form where there is one.
fn on_grid(
    training: &Training,
    law: &Law,
    energy: &Learned,
    watch: &mut Watch,
) -> Result<(), Error> {
    let step = 2.0 * REACH / CELLS as f64;
    let axis: Vec<f64> = (0..CELLS).map(|i| (i as f64 + 0.5) * step - REACH).collect();
    let points: Vec<f64> = axis.iter().flat_map(|y| axis.iter().flat_map(|x| [*x, *y])).collect();
    let points = Array::from_vec(points, &[CELLS * CELLS, 2]).cast(training.task.dtype);
    let points = points.to_device(training.task.test.device());
    let density = training.density(energy);
    let log_p0 = density.log_p0(&points).cast(DType::F64);
    let log_z = log_p0.logsumexp_all().item() + 2.0 * step.ln();
    let test = density.log_p0(&training.task.test).mean_all().item();
    watch.figure("grid_nll", log_z - test);
    let arm = watch.arm().to_string();
    let heat = |title: String, log_p: &Array| {
        let (x, y) = (Axis::new("x"), Axis::new("y"));
        let z = log_p.exp().to_f64_vec();
        Picture::heat(title, x, y, axis.clone(), axis.clone(), z)
            .value(Axis::new("density").linear())
    };
    if let Some(truth) = law.log_density(&points) {
        let truth = truth.cast(DType::F64);
        // Where p is 0 the integrand is 0 too.
        let p = truth.exp();
        let apart = truth.maximum(&truth.full_like(-1e3)) - (&log_p0 - log_z);
        watch.figure("divergence", (p * apart).sum_all().item() * step * step);
        watch.picture("density-of-data", heat("The data's density".into(), &truth))?;
    }
    let learned = heat(format!("The density of {arm}"), &(log_p0 - log_z));
    watch.picture("density", learned)
}

/// Rows of images: data, noise, resampled noise, chains.
fn samples(
    training: &Training,
    whitener: &Whitener,
    energy: &Learned,
    watch: &mut Watch,
) -> Result<(), Error> {
    let density = training.density(energy);
    let stream = training.fresh("samples");
    let arm = watch.arm().to_string();
    let mut picture = Picture::images(format!("Samples of {arm}"), COLUMNS);
    let data = training.task.test.narrow(0, 0, COLUMNS.min(training.task.test.dim(0)));
    let noise = density.noise.sample(COLUMNS, &stream.child("noise"));
    let mut rows = vec![("data", data), ("noise", noise.clone())];
    match resample(&density, COLUMNS, 200, &stream.child("resample")) {
        Ok((drawn, _)) => rows.push(("resampled", drawn)),
        Err(problem) => watch.note(&format!("{arm}: no samples: {problem}")),
    }
    watch.phase("chains", None);
    let langevin = Langevin { step_size: 0.2, steps: 200, metropolis: true, drift_bound: None };
    let (chains, accepted) = langevin.run(&density, &noise, &stream.child("chains"));
    rows.push(("chains", chains));
    let host = lisse_array::Device::Cpu;
    for (name, components) in rows {
        let images = whitener.invert(&components.to_device(host)).clamp(0.0, 1.0);
        // Ink on paper.
        let values = (1.0 - images).to_f64_vec();
        let size = values.len() / components.dim(0);
        let side = size.isqrt();
        for (i, pixels) in values.chunks_exact(size).enumerate() {
            let image = Image::gray(side, side, pixels)?;
            picture = picture.image(image, if i == 0 { name } else { "" });
        }
    }
    let caption = format!(
        "Test data, noise, noise resampled by the model's ratios, and Metropolis-adjusted Langevin chains from that noise ({:.0} % of moves accepted), all seen through the principal components.",
        100.0 * accepted
    );
    watch.picture("samples", picture.caption(caption))
}

/// What shows all arms together.
pub fn conclude(
    entries: &[(String, Training)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let axis = Axis::new("-log p of test data");
    let mut curves = Picture::lines("Likelihood of test data", Axis::new("step"), axis);
    let mut paths =
        Picture::lines("The parameter", Axis::new("step").linear(), Axis::new("estimate / truth"));
    let rate = Axis::new("foreign taken for familiar");
    let axis = Axis::new("familiar recognized").linear();
    let mut tells = Picture::lines("Foreign classes", rate.linear(), axis);
    let (mut has_paths, mut has_tells) = (false, false);
    for (name, training) in entries {
        let Some(state) = finals.state::<Training>(name) else { continue };
        curves = curves.series(name.as_str(), state.curve.clone());
        if let (Some(truth), false) = (training.truth(), state.path.is_empty()) {
            has_paths = true;
            let every = (state.path.len() / 400).max(1);
            let points = state.path.iter().enumerate().step_by(every);
            let points = points.map(|(step, p)| (step as f64 + 1.0, p / truth));
            paths = paths.series(name.as_str(), points.collect::<Vec<_>>());
        }
        if let Some((_, foreign)) = training.task.outliers.first() {
            has_tells = true;
            let energy = training.solution(state);
            let score = |x: &Array| (-training.density(&energy).log_p0(x)).to_f64_vec();
            let curve = tell_curve(&score(&training.task.test), &score(foreign));
            tells = tells.series(name.as_str(), curve);
        }
    }
    watch.picture("likelihood", curves)?;
    if has_paths {
        watch.picture("paths", paths)?;
    }
    if has_tells {
        let caption =
            "Each point is a threshold on the energy; the area under a curve is its AUROC.";
        watch.picture("foreign", tells.caption(caption))?;
    }
    Ok(())
}

/// Shares of foreign and of familiar examples below rising thresholds.
fn tell_curve(familiar: &[f64], foreign: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = familiar.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |t: f64| foreign.iter().filter(|s| **s <= t).count() as f64 / foreign.len() as f64;
    let points = sorted.iter().enumerate();
    let n = sorted.len() as f64;
    let mut curve = vec![(0.0, 0.0)];
    curve.extend(points.map(|(i, t)| (below(*t), (i as f64 + 1.0) / n)));
    curve.push((1.0, 1.0));
    curve
}
