//! Pictures and tables over all arms.

use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{Error, Finals, Watch};

use super::process::{Outcome, Point, Runner};

/// An arm's name and its run on a stream.
type Member<'a> = (&'a str, &'a Outcome);

/// Shows the arms together, a stream at a time.
pub(super) fn conclude(
    arms: &[String],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let mut streams: Vec<(&str, Vec<Member<'_>>)> = Vec::new();
    for arm in arms {
        let Some(state) = finals.state::<Runner>(arm) else { continue };
        for outcome in &state.outcomes {
            let name = outcome.stream.as_str();
            match streams.iter_mut().find(|(stream, _)| *stream == name) {
                Some((_, members)) => members.push((arm, outcome)),
                None => streams.push((name, vec![(arm, outcome)])),
            }
        }
    }
    difficulty(&streams, watch)?;
    for (name, members) in &streams {
        losses(name, members, watch)?;
        regrets(name, members, watch)?;
        table(name, members, watch)?;
    }
    Ok(())
}

fn last(outcome: &Outcome) -> Option<&Point> {
    outcome.points.last()
}

/// What the streams were like.
fn difficulty(streams: &[(&str, Vec<Member<'_>>)], watch: &mut Watch) -> Result<(), Error> {
    let columns = [
        "stream",
        "rounds",
        "sum sigma^2",
        "sum Sigma^2",
        "path of the optimum",
        "loss of the start",
    ];
    let mut table = Table::new("The streams", columns);
    for (name, members) in streams {
        let Some(point) = members.first().and_then(|(_, outcome)| last(outcome)) else { continue };
        table = table.row([
            Cell::from(*name),
            Cell::from(point.round as f64),
            Cell::from(point.variance),
            Cell::from(point.drift),
            Cell::from(point.path),
            Cell::from(point.origin),
        ]);
    }
    let caption = "sigma^2: variance of gradients in a round; Sigma^2: squared change of the mean gradient between rounds, with the first \
                   gradient against 0. Exact for made-up streams, else the largest over five probe points.";
    watch.table("streams", table.caption(caption))
}

/// Mean loss by round.
fn losses(name: &str, members: &[Member<'_>], watch: &mut Watch) -> Result<(), Error> {
    let mut picture = Picture::lines(
        format!("{name}: mean loss so far"),
        Axis::new("round"),
        Axis::new("mean loss"),
    );
    for (arm, outcome) in members {
        let line = outcome.points.iter().map(|p| (p.round as f64, p.loss / p.round as f64));
        picture = picture.series(*arm, line);
    }
    watch.picture(&format!("loss-{name}"), picture)
}

/// Regret by horizon, beside the shape of its bound.
fn regrets(name: &str, members: &[Member<'_>], watch: &mut Watch) -> Result<(), Error> {
    let (x, y) = (Axis::new("rounds").log(), Axis::new("regret").log());
    let mut picture = Picture::lines(format!("{name}: regret by horizon"), x, y);
    for (arm, outcome) in members {
        picture =
            picture.series(*arm, outcome.horizons().map(|(p, regret)| (p.round as f64, regret)));
    }
    if let Some((_, outcome)) = members.first() {
        let shape = outcome.horizons().map(|(p, _)| (p.round as f64, p.difficulty));
        picture = picture.series("sqrt(sum sigma^2) + sqrt(sum Sigma^2)", shape);
    }
    let caption = "Against the best fixed point of each horizon. Negative regrets have no place on this axis: the table has them.";
    watch.picture(&format!("regret-{name}"), picture.caption(caption))
}

fn table(name: &str, members: &[Member<'_>], watch: &mut Watch) -> Result<(), Error> {
    let columns = [
        "learner",
        "loss",
        "regret",
        "± (standard error)",
        "regret to moving optimum",
        "sum |g - m|^2",
        "growth",
        "regret / shape",
        "excess of the average",
    ];
    let mut table = Table::new(format!("{name}: after the last round"), columns);
    for (arm, outcome) in members {
        let Some(point) = last(outcome) else { continue };
        table = table.row([
            Cell::from(*arm),
            Cell::from(point.loss),
            Cell::from(point.regret.unwrap_or(f64::NAN)),
            Cell::from(outcome.regret_error),
            Cell::from(point.dynamic),
            Cell::from(point.variation),
            Cell::from(outcome.growth()),
            Cell::from(outcome.shape().1),
            Cell::from(outcome.excess.unwrap_or(f64::NAN)),
        ]);
    }
    let caption = "Growth: exponent of the regret in the number of rounds. Shape: the root of the summed variances plus the root of the \
                   summed drifts. Excess: of the mean of the points played, for streams that do not change.";
    watch.table(&format!("table-{name}"), table.caption(caption))
}
