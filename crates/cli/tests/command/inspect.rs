//! `compare`, `report`, `export`.

use std::fs;

use serde_json::Value;

use crate::support::{Place, normal};

/// The text of a page: no styles, `[plot]` for each picture, one line for each piece of text.
fn words(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let whole = ["style", "svg"].into_iter().find(|name| tag.starts_with(name));
        let end = whole.map_or(">".into(), |name| format!("</{name}>"));
        text.push_str(if whole == Some("svg") { "\n[plot]\n" } else { "\n" });
        rest = tag.split_once(&end).unwrap().1;
    }
    text.push_str(rest);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_report_says_everything_in_one_file() {
    let place = Place::new();
    let surroundings = "sharpness={products=3, radius=0.5, line_points=5, plane_points=3}";
    place.succeeds(&["run", "two.toml", "--out", "run", "--set", surroundings]);
    let page = place.read("run/report.html");

    // Nothing is fetched: no addresses, scripts, style sheets, fonts; images, if any, are inside.
    let inside = page.replace("http://www.w3.org/", "");
    for outside in ["http:", "https:", "<script", "<link", "<iframe", "@import", "url("] {
        assert!(!inside.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("src=").count(), page.matches("src=\"data:").count());

    assert!(page.contains("<meta name=\"color-scheme\" content=\"light dark\">"));
    assert!(page.contains("@media (prefers-color-scheme: dark)"));
    assert!(page.contains("<code>sam.test_accuracy &gt; 0.5</code>"));
    // Three slices of the loss, two curves (the test accuracy has a point for each epoch).
    assert!(page.matches("<svg").count() >= 5, "{}", page.matches("<svg").count());
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    insta::assert_snapshot!("report", normal(&words(&page)));
}

#[test]
fn a_report_can_be_made_again() {
    let place = Place::new();
    place.succeeds(&["run", "two.toml", "--out", "run"]);
    let page = place.read("run/report.html");
    fs::remove_file(place.path("run/report.html")).unwrap();
    assert_eq!(place.succeeds(&["report", "run"]), "run/report.html\n");
    assert_eq!(place.read("run/report.html"), page);
}

#[test]
fn runs_are_compared() {
    let place = Place::new();
    place.succeeds(&["run", "two.toml", "--out", "slow"]);
    let faster = ["--set", "method.optimizer.learning_rate=0.2", "--seed", "3"];
    place.succeeds(&[&["run", "two.toml", "--out", "fast"], &faster[..]].concat());
    let text = place.succeeds(&["compare", "slow", "fast"]);
    let line = |line: &str| {
        let varies = line.starts_with("wall seconds");
        if varies { "wall seconds    [varies]".into() } else { line.to_owned() }
    };
    let text = text.lines().map(line).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!("compare", text);

    let both: Value =
        serde_json::from_str(&place.succeeds(&["compare", "slow", "fast", "--json"])).unwrap();
    assert_eq!(both["differences"]["method.optimizer.learning_rate"][1], "0.2");
    let figure = &place.json("fast/summary.json")["figures"]["sam.train_loss"];
    assert_eq!(both["figures"]["sam.train_loss"][1], *figure);

    place.succeeds(&["compare", "slow", "fast", "--html", "both.html"]);
    let page = place.read("both.html");
    assert!(page.contains("<h2>Figures</h2>") && page.contains("<svg") && !page.contains("https:"));
}

#[test]
fn metrics_are_exported() {
    let place = Place::new();
    place.succeeds(&["run", "two.toml", "--out", "run"]);
    assert_eq!(place.succeeds(&["export", "run", "--csv"]), "run/metrics.csv\n");
    let csv = place.read("run/metrics.csv");
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    assert!(header.starts_with("arm,step,seconds,train.loss"), "{header}");
    let first = &place.rows("run")[0];
    let column = header.split(',').position(|name| name == "train.loss").unwrap();
    let value = lines.clone().next().unwrap().split(',').nth(column).unwrap();
    assert_eq!(value.parse::<f64>().ok(), first["train.loss"].as_f64());
    assert_eq!(lines.count(), place.rows("run").len());

    assert_eq!(place.succeeds(&["export", "run", "--csv", "--out", "mine.csv"]), "mine.csv\n");
    assert_eq!(place.read("mine.csv"), csv);
    assert_eq!(place.succeeds(&["export", "run", "--tensorboard"]), "run/tensorboard\n");
    let arms: Vec<_> = fs::read_dir(place.path("run/tensorboard")).unwrap().collect();
    assert_eq!(arms.len(), 2, "{arms:?}");
}

#[cfg(feature = "parquet")]
#[test]
fn metrics_are_exported_as_parquet() {
    let place = Place::new();
    place.succeeds(&["run", "two.toml", "--out", "run"]);
    assert_eq!(place.succeeds(&["export", "run", "--parquet"]), "run/metrics.parquet\n");
    assert!(fs::read(place.path("run/metrics.parquet")).unwrap().starts_with(b"PAR1"));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_so() {
    let place = Place::new();
    place.succeeds(&["run", "one.toml", "--out", "run"]);
    assert_eq!(
        place.fails(2, &["export", "run", "--parquet"]),
        "error: this build cannot write Parquet; build with `--features parquet`, or use --csv\n"
    );
}
