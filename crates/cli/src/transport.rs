//! `transport`: plans for cost matrices and clouds of points from files.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use lisse::solve::transport::{
    Axis, Marginals, Metric, PlanFormat, Problem, ProblemFiles, Record, Sinkhorn, Solver, SparseOt,
    SparsePlan, Status, plan_picture, read_problem, round_sparse, solve_exact, write_plan,
};
use serde_json::{Value, json};

use crate::output::{Failure, print, print_json, tell};

/// What to move and how.
#[derive(Args)]
pub struct TransportArgs {
    /// Cost matrix (.csv, .csv.gz, .npy), sources down; `inf` forbids a pair
    #[arg(long, value_name = "FILE", conflicts_with_all = ["x", "y"], required_unless_present = "x")]
    cost: Option<PathBuf>,
    /// Source points, one a row, in place of a cost matrix
    #[arg(long, value_name = "FILE", requires = "y")]
    x: Option<PathBuf>,
    /// Target points
    #[arg(long, value_name = "FILE", requires = "x")]
    y: Option<PathBuf>,
    /// What a pair of points costs
    #[arg(long, value_enum, default_value_t = MetricName::SquaredEuclidean)]
    metric: MetricName,
    /// Masses of the sources [default: equal]
    #[arg(long, value_name = "FILE")]
    a: Option<PathBuf>,
    /// Masses of the targets [default: equal]
    #[arg(long, value_name = "FILE")]
    b: Option<PathBuf>,
    /// Most entries of a column (or row, see --axis) [default: no bound]
    #[arg(long, value_name = "COUNT")]
    k: Option<usize>,
    /// Where entries are counted
    #[arg(long, value_enum, default_value_t = AxisName::Column)]
    axis: AxisName,
    /// Strength of the squared norm
    #[arg(long, default_value_t = 1.0, value_name = "NUMBER")]
    gamma: f64,
    /// Strength of the entropy, for --solver sinkhorn
    #[arg(long, default_value_t = 0.05, value_name = "NUMBER")]
    epsilon: f64,
    /// Method
    #[arg(long, value_enum, default_value_t = SolverName::Auto)]
    solver: SolverName,
    /// Share of the mass by which the margins may be missed [default: 1e-6; sinkhorn 1e-9]
    #[arg(long, value_name = "NUMBER")]
    tolerance: Option<f64>,
    /// Relative certified gap at which the bundle method stops
    #[arg(long, default_value_t = 1e-6, value_name = "NUMBER")]
    gap: f64,
    /// Most iterations [default: 500; sinkhorn 10000]
    #[arg(long, value_name = "COUNT")]
    max_iterations: Option<usize>,
    /// Solve for larger bounds first
    #[arg(long)]
    continuation: bool,
    /// Which plan is written where ties keep the sparse one from meeting both margins
    #[arg(long, value_enum, default_value_t = PlanName::Raw)]
    plan: PlanName,
    /// Where the plan's entries go: .csv, .parquet, or - for standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw the plan as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Write value, bound and error of every iteration as JSON lines
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum MetricName {
    SquaredEuclidean,
    Euclidean,
    Cosine,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum AxisName {
    /// At most k sources for every target
    Column,
    /// At most k targets for every source
    Row,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum SolverName {
    /// L-BFGS, then the bundle method where that stalls
    Auto,
    /// L-BFGS on the semi-dual alone
    SemiDual,
    /// L-BFGS on the dual alone
    Dual,
    /// The bundle method alone
    Bundle,
    /// Adam with steps of 0.01
    Adam,
    /// No regularization: the network simplex method
    Exact,
    /// Entropic transport
    Sinkhorn,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum PlanName {
    /// At most k entries; the margin of the other axis may be missed
    Raw,
    /// Both margins; may have more entries
    Relaxed,
    /// At most k entries, repaired as far as they allow
    Rounded,
}

/// A plan with what is told about it.
struct Outcome {
    plan: SparsePlan,
    figures: Vec<(&'static str, Value)>,
    history: Vec<Record>,
}

/// Solves and writes.
pub fn transport(args: &TransportArgs) -> Result<ExitCode, Failure> {
    let format = args.out.as_deref().map(plan_format).transpose()?;
    let (files, marginals) = sources(args)?;
    let (problem, warnings) = read_problem(&files, &marginals).map_err(failed)?;
    for warning in warnings {
        tell(&format!("warning: {warning}"));
    }
    let clock = Instant::now();
    let mut outcome = solve(args, &problem)?;
    outcome.figures.push(("seconds", json!(clock.elapsed().as_secs_f64())));
    if let Some(path) = &args.picture {
        let title = format!(
            "{} entries, {} sources, {} targets",
            outcome.plan.nonzeros(),
            problem.sources(),
            problem.targets()
        );
        write(path, &plan_picture(&outcome.plan, &title))?;
    }
    if let Some(path) = &args.log {
        write(path, &log(&outcome.history))?;
    }
    let to_output = args.out.as_deref() == Some(Path::new("-"));
    if let Some(format) = format {
        let path = args.out.as_deref().filter(|_| !to_output);
        write_plan(&outcome.plan, format, path)
            .map_err(|error| Failure::failed(error.to_string()))?;
    }
    report(args, &outcome, to_output)?;
    Ok(ExitCode::SUCCESS)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}

fn plan_format(path: &Path) -> Result<PlanFormat, Failure> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    match (path.to_str(), extension.as_str()) {
        (Some("-"), _) | (_, "csv") => Ok(PlanFormat::Csv),
        (_, "parquet") => Ok(PlanFormat::Parquet),
        _ => Err(Failure::usage(format!(
            "--out {}: plans are written as .csv or .parquet, or to - as CSV",
            path.display()
        ))),
    }
}

fn sources(args: &TransportArgs) -> Result<(ProblemFiles, Marginals), Failure> {
    let metric = match args.metric {
        MetricName::SquaredEuclidean => Metric::SquaredEuclidean,
        MetricName::Euclidean => Metric::Euclidean,
        MetricName::Cosine => Metric::Cosine,
    };
    let files = match (&args.cost, &args.x, &args.y) {
        (Some(cost), ..) => ProblemFiles::Costs(cost.clone()),
        (None, Some(x), Some(y)) => ProblemFiles::Points { x: x.clone(), y: y.clone(), metric },
        _ => return Err(Failure::usage("give --cost, or both --x and --y")),
    };
    Ok((files, Marginals { a: args.a.clone(), b: args.b.clone() }))
}

fn solve(args: &TransportArgs, problem: &Problem) -> Result<Outcome, Failure> {
    let regularized = !matches!(args.solver, SolverName::Exact | SolverName::Sinkhorn);
    if !regularized && (args.k.is_some() || args.plan != PlanName::Raw) {
        return Err(Failure::usage(
            "--k and --plan go with the sparse solvers, not with exact or sinkhorn",
        ));
    }
    match args.solver {
        SolverName::Exact => {
            let found = solve_exact(problem).map_err(failed)?;
            let mut figures = vec![("cost", json!(found.cost)), ("pivots", json!(found.pivots))];
            figures.extend(of_plan(&found.plan, problem));
            Ok(Outcome { plan: found.plan, figures, history: Vec::new() })
        }
        SolverName::Sinkhorn => {
            let defaults = Sinkhorn::default();
            let sinkhorn = Sinkhorn {
                epsilon: args.epsilon,
                tolerance: args.tolerance.unwrap_or(defaults.tolerance),
                max_iterations: args.max_iterations.unwrap_or(defaults.max_iterations),
            };
            let found = sinkhorn.solve(problem).map_err(failed)?;
            let mut figures = vec![
                ("value", json!(found.value)),
                ("cost", json!(found.cost)),
                ("status", json!(found.status)),
                ("iterations", json!(found.iterations)),
            ];
            let plan = SparsePlan::from_dense(problem.sources(), problem.targets(), &found.plan);
            figures.extend(of_plan(&plan, problem));
            Ok(Outcome { plan, figures, history: Vec::new() })
        }
        _ => sparse(args, problem),
    }
}

fn sparse(args: &TransportArgs, problem: &Problem) -> Result<Outcome, Failure> {
    let defaults = SparseOt::default();
    let axis = if args.axis == AxisName::Row { Axis::Row } else { Axis::Column };
    let ot = SparseOt {
        k: args.k,
        gamma: args.gamma,
        axis,
        solver: match args.solver {
            SolverName::SemiDual => Solver::SemiDual,
            SolverName::Dual => Solver::Dual,
            SolverName::Bundle => Solver::Bundle,
            SolverName::Adam => Solver::Adam { rate: 1e-2 },
            _ => Solver::Auto,
        },
        continuation: args.continuation,
        tolerance: args.tolerance.unwrap_or(defaults.tolerance),
        gap: args.gap,
        max_iterations: args.max_iterations.unwrap_or(defaults.max_iterations),
        ..defaults
    };
    let found = ot.solve(problem).map_err(failed)?;
    if found.status != Status::Converged {
        tell(&format!(
            "warning: the solver did not converge; the optimum lies between {} and {}",
            found.value, found.upper
        ));
    }
    if found.tied_columns > 0 {
        tell(&format!(
            "warning: {} {} have no unique choice of entries; the sparse plan misses the other margin by {:.3e} (see --plan)",
            found.tied_columns,
            if axis == Axis::Row { "rows" } else { "columns" },
            found.row_error.max(found.column_error)
        ));
    }
    let mut figures = vec![
        ("value", json!(found.value)),
        ("upper", json!(found.upper)),
        ("gap", json!(found.gap())),
        ("status", json!(found.status)),
        ("iterations", json!(found.iterations)),
        ("cuts", json!(found.cuts)),
        ("evaluations", json!(found.evaluations)),
        ("tied", json!(found.tied_columns)),
    ];
    let plan = match args.plan {
        PlanName::Raw => found.plan,
        PlanName::Relaxed => found
            .relaxed
            .ok_or_else(|| failed("forbidden pairs kept the relaxed plan from being made"))?,
        PlanName::Rounded => {
            let k = args.k.unwrap_or(usize::MAX);
            if axis == Axis::Row {
                round_sparse(&problem.transposed(), &found.plan.transposed(), k).transposed()
            } else {
                round_sparse(problem, &found.plan, k)
            }
        }
    };
    figures.push(("cost", json!(plan.cost(problem))));
    figures.extend(of_plan(&plan, problem));
    Ok(Outcome { plan, figures, history: found.history })
}

fn of_plan(plan: &SparsePlan, problem: &Problem) -> Vec<(&'static str, Value)> {
    let (rows, columns) = plan.marginal_errors(problem);
    vec![
        ("nonzeros", json!(plan.nonzeros())),
        ("density", json!(plan.density())),
        ("most_per_column", json!(plan.most_per_column())),
        ("row_error", json!(rows)),
        ("column_error", json!(columns)),
    ]
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| failed(format!("{}: could not write: {error}", path.display())))
}

fn log(history: &[Record]) -> String {
    let mut text = String::new();
    for (iteration, record) in history.iter().enumerate() {
        let line = json!({"iteration": iteration, "value": record.value, "upper": record.upper, "error": record.error});
        let _ = writeln!(text, "{line}");
    }
    text
}

/// The figures; on standard error where the plan takes standard output.
fn report(args: &TransportArgs, outcome: &Outcome, to_output: bool) -> Result<(), Failure> {
    if args.json && !to_output {
        let figures: serde_json::Map<String, Value> = outcome
            .figures
            .iter()
            .map(|(name, value)| ((*name).to_string(), value.clone()))
            .collect();
        return print_json(&figures);
    }
    let mut text = String::new();
    for (name, value) in &outcome.figures {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let _ = writeln!(text, "{name:<15} {shown}");
    }
    if to_output {
        tell(text.trim_end());
        return Ok(());
    }
    print(&text)
}
