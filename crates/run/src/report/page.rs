//! The report of a run.

use indexmap::IndexMap;
use maud::{Markup, html};

use super::html::{document, lines_figure, picture, plain_table, table};
use super::picture::Lines;
use super::{Axis, Cell, Picture};
use crate::exhibit::Exhibit;
use crate::number::human;
use crate::terminal::time;
use crate::{Error, Row, Summary};

/// The whole report.
pub(crate) fn page(
    summary: &Summary,
    rows: &[Row],
    exhibits: &[Exhibit],
    recipe: &str,
) -> Result<String, Error> {
    let curves = curves(rows);
    let environment = serde_json::to_value(&summary.environment).map_err(Error::other)?;
    let body = html! {
        (head(summary))
        (claims(summary))
        (figures(summary))
        @if !exhibits.is_empty() {
            section {
                h2 { "Results" }
                div.exhibits {
                    @for exhibit in exhibits {
                        @match exhibit {
                            Exhibit::Picture(shown) => (picture(shown)),
                            Exhibit::Table(shown) => (table(shown)),
                        }
                    }
                }
            }
        }
        @if !curves.is_empty() {
            section {
                h2 { "Curves" }
                div.curves { @for lines in &curves { (lines_figure(lines, curves.len() > 1)) } }
            }
        }
        (arms(summary))
        @if !summary.notes.is_empty() {
            section { h2 { "Notes" } ul { @for note in &summary.notes { li { (note) } } } }
        }
        section { h2 { "Recipe" } pre { (recipe) } }
        section { h2 { "Environment" } (environment_table(&environment)) }
        footer { "Made by Lisse " (summary.environment.version) ". Everything in this report is in this file." }
    };
    Ok(document(&summary.title, &body))
}

fn head(summary: &Summary) -> Markup {
    let memory = summary.peak_memory_bytes as f64 / (1 << 20) as f64;
    html! {
        header {
            p.eyebrow { "Lisse run · " (summary.recipe) @if summary.quick { " · quick form" } }
            h1 { (summary.title) }
            @if !summary.summary.is_empty() { p.lead { (summary.summary) } }
            div.stop.failed[summary.stop.is_failure()] {
                p { strong { (sentence(&summary.stop.to_string())) } " " (summary.advice) }
            }
            dl.facts {
                (fact("Steps", &summary.steps.to_string()))
                (fact("Wall time", &time(summary.wall_secs)))
                (fact("Processor time", &time(summary.cpu_secs)))
                @if summary.peak_memory_bytes > 0 { (fact("Peak memory", &format!("{memory:.0} MiB"))) }
                (fact("Seed", &summary.seed.to_string()))
                (fact("Device", &summary.device))
                @if summary.ranks > 1 { (fact("Ranks", &summary.ranks.to_string())) }
                @if !summary.methods.is_empty() { (fact("Methods", &summary.methods.join(", "))) }
            }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// First letter large, a full stop at the end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn claims(summary: &Summary) -> Markup {
    let held = summary.claims.iter().filter(|claim| claim.holds).count();
    html! {
        @if !summary.claims.is_empty() {
            section {
                h2 { "Claims: " (held) " of " (summary.claims.len()) " hold" }
                ul.claims {
                    @for claim in &summary.claims {
                        li.failed[!claim.holds] {
                            span.verdict { @if claim.holds { "✓ holds" } @else { "✗ does not hold" } }
                            code { (claim.claim) }
                            small {
                                @match &claim.problem {
                                    Some(problem) => (sentence(problem)),
                                    None => { "Left side " (human(claim.left)) ", right side " (human(claim.right)) "." }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Figures as a table: those of arms side by side, one row for each name.
fn figures(summary: &Summary) -> Markup {
    let arms: Vec<&str> =
        summary.arms.iter().map(|arm| arm.name.as_str()).filter(|name| !name.is_empty()).collect();
    let mut by_name: IndexMap<&str, Vec<Cell>> = IndexMap::new();
    let mut others: Vec<Vec<Cell>> = Vec::new();
    for (name, value) in &summary.figures {
        let split = name
            .split_once('.')
            .and_then(|(arm, rest)| Some((arms.iter().position(|other| *other == arm)?, rest)));
        match split {
            Some((arm, rest)) => {
                by_name.entry(rest).or_insert_with(|| vec!["–".into(); arms.len()])[arm] =
                    value.0.into();
            }
            None => others.push(vec![name.as_str().into(), value.0.into()]),
        }
    }
    let rows: Vec<Vec<Cell>> = by_name
        .into_iter()
        .map(|(name, values)| std::iter::once(Cell::from(name)).chain(values).collect())
        .collect();
    let columns: Vec<String> = std::iter::once("Figure").chain(arms).map(str::to_owned).collect();
    html! {
        @if !summary.figures.is_empty() {
            section {
                h2 { "Figures" }
                @if !rows.is_empty() { (plain_table(&columns, &rows)) }
                @if !others.is_empty() { (plain_table(&["Figure".into(), "Value".into()], &others)) }
            }
        }
    }
}

/// One picture for each metric, the arms in it as curves.
pub(crate) fn curves(rows: &[Row]) -> Vec<Lines> {
    // Points by arm, by metric.
    type Curves<'a> = IndexMap<&'a str, Vec<(f64, f64)>>;
    let mut metrics: IndexMap<&str, Curves<'_>> = IndexMap::new();
    for row in rows {
        for (name, value) in &row.metrics {
            metrics
                .entry(name)
                .or_default()
                .entry(&row.arm)
                .or_default()
                .push((row.step as f64, value.0));
        }
    }
    // A metric that has one value for each arm is no curve.
    metrics.retain(|_, arms| arms.values().any(|points| points.len() > 1));
    let lines = |(name, arms): (&str, Curves<'_>)| {
        let lines = Picture::lines(name, Axis::new("step").linear(), Axis::new(""));
        arms.into_iter().fold(lines, |lines, (arm, points)| lines.series(arm, points))
    };
    metrics.into_iter().map(lines).collect()
}

fn arms(summary: &Summary) -> Markup {
    let columns = ["Arm", "Steps", "Time in steps", "Why it stopped"].map(str::to_owned);
    let rows: Vec<Vec<Cell>> = summary
        .arms
        .iter()
        .map(|arm| {
            vec![
                arm.name.as_str().into(),
                (arm.steps as f64).into(),
                time(arm.seconds).into(),
                sentence(&arm.stop.to_string()).into(),
            ]
        })
        .collect();
    html! {
        @if rows.len() > 1 { section { h2 { "Arms" } (plain_table(&columns, &rows)) } }
    }
}

fn environment_table(environment: &serde_json::Value) -> Markup {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) if items.is_empty() => "none".into(),
        serde_json::Value::Array(items) => {
            items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    let entries = environment.as_object().into_iter().flatten();
    let rows: Vec<Vec<Cell>> =
        entries.map(|(name, value)| vec![name.as_str().into(), text(value).into()]).collect();
    plain_table(&["What".into(), "Value".into()], &rows)
}
