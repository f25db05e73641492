use std::fs;
use std::path::PathBuf;

use super::close;
use crate::transport::{
    FileError, Marginals, Metric, PlanFormat, ProblemFiles, SparseOt, plan_picture, read_problem,
    write_plan,
};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn message<T: std::fmt::Debug>(result: Result<T, FileError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn costs_and_masses_come_from_tables() {
    let folder = Folder::new();
    let costs = folder.file("costs.csv", "0,1,3\n2,0.5,inf\n4,2,0.3\n");
    let a = folder.file("a.csv", "mass\n5\n3\n2\n");
    let b = folder.file("b.csv", "0.4,0.4,0.2\n");
    let marginals = Marginals { a: Some(a), b: Some(b) };
    let (problem, warnings) = read_problem(&ProblemFiles::Costs(costs), &marginals).unwrap();
    assert_eq!(
        (problem.cost(1, 1), problem.cost(2, 0), problem.cost(1, 2)),
        (0.5, 4.0, f64::INFINITY)
    );
    close(problem.a()[0], 0.5, 1e-15);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].ends_with("the masses sum to 10; they were divided by that"),
        "{}",
        warnings[0]
    );
}

#[test]
fn clouds_of_points_have_equal_masses() {
    let folder = Folder::new();
    let x = folder.file("x.csv", "u,v\n0,0\n3,4\n");
    let y = folder.file("y.csv", "3,4\n0,0\n1,1\n");
    let files = ProblemFiles::Points { x: x.clone(), y, metric: Metric::Euclidean };
    let (problem, warnings) = read_problem(&files, &Marginals::default()).unwrap();
    assert_eq!((problem.sources(), problem.targets(), problem.cost(0, 0)), (2, 3, 5.0));
    assert!(warnings.is_empty());
    let y = folder.file("flat.csv", "1\n2\n");
    let files = ProblemFiles::Points { x, y, metric: Metric::Euclidean };
    let error = message(read_problem(&files, &Marginals::default()));
    assert!(
        error.contains("points have 1 coordinates") && error.contains("both must have as many"),
        "{error}"
    );
}

#[test]
fn bad_files_are_named() {
    let folder = Folder::new();
    let costs = ProblemFiles::Costs(folder.file("costs.csv", "0,1\nnan,0\n"));
    let error = message(read_problem(&costs, &Marginals::default()));
    assert!(error.contains("costs.csv: cost of source 1 to target 0 is NaN"), "{error}");
    let costs = ProblemFiles::Costs(folder.file("costs.csv", "0,1\n1,0\n"));
    let with = |text: &str| Marginals { a: Some(folder.file("a.csv", text)), b: None };
    let error = message(read_problem(&costs, &with("1\n2\n3\n")));
    assert!(error.ends_with("a.csv: 3 masses for 2 rows of the costs"), "{error}");
    let error = message(read_problem(&costs, &with("1\n-2\n")));
    assert!(
        error.ends_with("a.csv: mass 2 is -2; masses must be 0 or more, and finite"),
        "{error}"
    );
    let error = message(read_problem(&costs, &with("0\n0\n")));
    assert!(error.ends_with("all masses are 0; at least one must be positive"), "{error}");
    let empty = ProblemFiles::Costs(folder.file("none.csv", ""));
    assert!(message(read_problem(&empty, &Marginals::default())).contains("the file is empty"));
    let absent = ProblemFiles::Costs(folder.0.path().join("absent.npy"));
    assert!(message(read_problem(&absent, &Marginals::default())).contains("absent.npy"));
    let words = ProblemFiles::Costs(folder.file("words.csv", "a,b\n1,x\n"));
    assert!(message(read_problem(&words, &Marginals::default())).contains("words.csv"));
}

#[test]
fn plans_are_written_and_drawn() {
    let folder = Folder::new();
    let found = SparseOt::new(2, 1.0).solve(&super::three()).unwrap();
    let path = folder.0.path().join("plan.csv");
    write_plan(&found.plan, PlanFormat::Csv, Some(&path)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("source,target,mass"));
    let mass = |line: &str| line.rsplit(',').next().unwrap().parse::<f64>().unwrap();
    assert_eq!(lines.clone().count(), found.plan.nonzeros());
    close(lines.map(mass).sum(), 1.0, 1e-12);
    let nowhere = folder.0.path().join("no/such/plan.csv");
    assert!(
        message(write_plan(&found.plan, PlanFormat::Csv, Some(&nowhere)))
            .contains("could not write")
    );
    assert!(
        message(write_plan(&found.plan, PlanFormat::Parquet, None))
            .contains("Parquet needs a file")
    );
    let svg = plan_picture(&found.plan, "a < b & c");
    assert!(
        svg.starts_with("<svg")
            && svg.contains("a &lt; b &amp; c")
            && svg.trim_end().ends_with("</svg>")
    );
    assert_eq!(svg.matches("opacity").count(), found.plan.nonzeros());
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_reads_back() {
    let folder = Folder::new();
    let found = SparseOt::new(2, 1.0).solve(&super::three()).unwrap();
    let path = folder.0.path().join("plan.parquet");
    write_plan(&found.plan, PlanFormat::Parquet, Some(&path)).unwrap();
    let table = lisse_data::Table::from_parquet(&path, lisse_data::Missing::Refuse).unwrap();
    assert_eq!(table.numbers("mass").unwrap(), found.plan.values());
}
