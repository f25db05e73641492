//! The report: curves, sensitivity to the step size, one table.

use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{Error, Finals, Watch};

use super::problem::averages;
use super::{Config, Outcome, Sweep};

/// A logarithmic axis has no zero, and the minimum is known to some digits only.
const FLOOR: f64 = 1e-12;

struct Entry<'a> {
    name: &'a str,
    config: &'a Config,
    results: &'a [Outcome],
}

pub fn conclude(
    arms: &[(String, Config)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let mut groups: Vec<(&str, Vec<Entry<'_>>)> = Vec::new();
    for (name, config) in arms {
        let Some(state) = finals.state::<Sweep>(name) else { continue };
        let entry = Entry { name, config, results: &state.results };
        let title = config.problem.title.as_str();
        match groups.iter_mut().find(|(t, _)| *t == title) {
            Some((_, members)) => members.push(entry),
            None => groups.push((title, vec![entry])),
        }
    }
    for (i, (title, members)) in groups.iter().enumerate() {
        curves(i, title, members, watch)?;
        sensitivity(i, title, members, watch)?;
    }
    table(&groups, watch)
}

/// Distance to the minimum by step: a picture for the last iterates of all arms, one per arm for its averages.
fn curves(i: usize, title: &str, members: &[Entry<'_>], watch: &mut Watch) -> Result<(), Error> {
    let axes = || (Axis::new("step").log(), Axis::new("objective minus minimum").log());
    let (x, y) = axes();
    let mut lasts = Picture::lines(format!("{title}: last iterates"), x, y);
    for member in members {
        let Some(outcome) = member.focus() else { continue };
        let line = outcome.path.iter().map(|m| (m.step as f64, m.last.max(FLOOR)));
        lasts = lasts.series(member.name, line.clone());
        if outcome.averages().is_empty() {
            continue;
        }
        let (x, y) = axes();
        let heading = format!("{title}: {}, last iterate and averages", member.name);
        let mut picture = Picture::lines(heading, x, y).series("last", line);
        for (k, average) in averages().iter().enumerate() {
            let line = outcome.path.iter().map(|m| (m.step as f64, m.averages[k].max(FLOOR)));
            picture = picture.series(average.name(), line);
        }
        let caption = "The suffix begins after half of the steps; before that the last iterate stands for it.";
        watch.picture(&format!("averages-{i}-{}", member.name), picture.caption(caption))?;
    }
    let caption = "Means over the seeds, at the step size of the figures. A decay to a horizon pays off at its end.";
    watch.picture(&format!("last-{i}"), lasts.caption(caption))
}

fn sensitivity(
    i: usize,
    title: &str,
    members: &[Entry<'_>],
    watch: &mut Watch,
) -> Result<(), Error> {
    let swept: Vec<&Entry<'_>> = members.iter().filter(|m| m.results.len() > 1).collect();
    if swept.is_empty() {
        return Ok(());
    }
    let y = Axis::new("objective minus minimum").log();
    let heading = format!("{title}: last iterate by step size");
    let mut picture = Picture::lines(heading, Axis::new("eta").log(), y);
    for member in swept {
        let line = member.results.iter().map(|o| (o.eta, o.last().max(FLOOR)));
        picture = picture.series(member.name, line);
    }
    watch.picture(&format!("sensitivity-{i}"), picture)
}

fn table(groups: &[(&str, Vec<Entry<'_>>)], watch: &mut Watch) -> Result<(), Error> {
    let columns = [
        "problem",
        "arm",
        "steps",
        "eta",
        "last",
        "uniform",
        "suffix",
        "polynomial",
        "best last",
        "its eta",
    ];
    let mut table = Table::new("Distance to the minimum", columns);
    for (title, members) in groups {
        for member in members {
            let Some(outcome) = member.focus() else { continue };
            let best = member.results.iter().min_by(|a, b| a.last().total_cmp(&b.last()));
            let mean =
                |k: usize| outcome.averages().get(k).map_or(Cell::from(""), |v| Cell::from(*v));
            table = table.row([
                Cell::from(*title),
                Cell::from(member.name),
                Cell::from(member.config.steps as f64),
                Cell::from(outcome.eta),
                Cell::from(outcome.last()),
                mean(0),
                mean(1),
                mean(2),
                Cell::from(best.map_or(f64::NAN, Outcome::last)),
                Cell::from(best.map_or(f64::NAN, |o| o.eta)),
            ]);
        }
    }
    watch.table("gaps", table.caption("Means over the seeds."))
}

impl Entry<'_> {
    fn focus(&self) -> Option<&Outcome> {
        self.results.iter().find(|o| o.eta == self.config.eta)
    }
}
