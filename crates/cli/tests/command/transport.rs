//! `lisse transport`: plans for masses from files.

use crate::support::Place;

const COSTS: &str = "0,2,3\n2,0,1\n";

#[test]
fn a_plan_is_written_and_told() {
    let place = Place::new();
    place.write("costs.csv", COSTS);
    let told = place.succeeds(&["transport", "--cost", "costs.csv", "--solver", "exact", "--json"]);
    let figures: serde_json::Value = serde_json::from_str(&told).unwrap();
    // Half a mass in each source, a third in each target: 1/6 of the mass crosses at cost 2, 1/3 at cost 1.
    let cost = figures["cost"].as_f64().unwrap();
    assert!((cost - 2.0 / 3.0).abs() < 1e-12, "{told}");
}

#[test]
fn what_does_not_fit_is_named() {
    let place = Place::new();
    place.write("costs.csv", COSTS);
    let refused = |code: i32, more: &[&str]| {
        let args = [&["transport", "--cost", "costs.csv"], more].concat();
        place.fails(code, &args)
    };
    assert_eq!(
        refused(1, &["--k", "0"]),
        "error: k: 0; it must be at least 1 (or absent for no bound)\n"
    );
    assert_eq!(
        refused(1, &["--k", "5"]),
        "error: k: 5; it must be 1 to 2, the number of sources (or absent for no bound)\n"
    );
    assert_eq!(
        refused(2, &["--out", "plan.txt"]),
        "error: --out plan.txt: plans are written as .csv or .parquet, or to - as CSV\n"
    );
    assert!(
        place
            .fails(1, &["transport", "--cost", "nope.csv"])
            .starts_with("error: cannot read `nope.csv`")
    );
}
