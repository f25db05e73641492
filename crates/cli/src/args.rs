//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;

use crate::transport::TransportArgs;

/// Smooth optimization: methods, recipes and runs on derivatives of any order.
#[derive(Parser)]
#[command(
    name = "lisse",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 success, 1 failure, 2 wrong usage, 3 a claim failed under --check, 130 interrupted and saved."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// The methods, by field, with the paper behind each
    List {
        /// Print a JSON array of {slug, title, paper, arxiv, field, summary, recipes}
        #[arg(long)]
        json: bool,
    },
    /// A method in full, or a recipe's text
    Show {
        /// A method's slug or a recipe's name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a recipe: live progress, a run folder, an HTML report
    Run {
        #[command(flatten)]
        recipe: RecipeArgs,
        /// Folder of the run [default: runs/RECIPE-N]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Exit with code 3 if a claim of the recipe does not hold
        #[arg(long)]
        check: bool,
        /// Print the summary as JSON
        #[arg(long)]
        json: bool,
    },
    /// Go on with an interrupted or killed run, to the same result
    Resume {
        /// Folder of the run
        run: PathBuf,
        /// Exit with code 3 if a claim of the recipe does not hold
        #[arg(long)]
        check: bool,
        /// Print the summary as JSON
        #[arg(long)]
        json: bool,
    },
    /// Runs side by side: what differed in the recipes, final figures
    Compare {
        /// Folders of the runs, at least two
        #[arg(required = true, num_args = 2..)]
        runs: Vec<PathBuf>,
        /// Also write the comparison as a web page
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a run's report again and print where it is
    Report {
        /// Folder of the run
        run: PathBuf,
    },
    /// A run's metrics for other programs
    Export {
        /// Folder of the run
        run: PathBuf,
        #[command(flatten)]
        format: Format,
        /// Where to write [default: inside the run's folder]
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// Check a recipe's own objective against finite differences, orders 1 and 2
    Audit {
        #[command(flatten)]
        recipe: RecipeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// BibTeX of a method, or of all methods that a recipe or a run used
    Cite {
        /// A method's slug, a recipe's name or file, or a run's folder
        name: String,
    },
    /// An optimal transport plan between masses from files
    Transport(Box<TransportArgs>),
    /// What this build and this machine can do
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// A completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// A recipe and what to change in it.
#[derive(ClapArgs)]
pub struct RecipeArgs {
    /// A built-in recipe's name, or a TOML file
    #[arg(value_name = "NAME|FILE")]
    pub recipe: String,
    /// The recipe's quick form: seconds instead of minutes
    #[arg(long)]
    pub quick: bool,
    /// Seed of all randomness
    #[arg(long, value_name = "N", value_parser = seed)]
    pub seed: Option<u64>,
    /// Device: cpu, cuda:N, wgpu:N (by build)
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Change a key of the recipe; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Recipes keep the seed as one of TOML's integers.
fn seed(text: &str) -> Result<u64, String> {
    let seed = text.parse().ok().filter(|seed| i64::try_from(*seed).is_ok());
    seed.ok_or_else(|| format!("expected a whole number from 0 to {}", i64::MAX))
}

/// Formats of `export`.
#[derive(ClapArgs, Clone, Copy)]
#[group(required = true, multiple = false)]
#[allow(clippy::struct_excessive_bools)] // flags of which clap lets through exactly one
pub struct Format {
    /// Comma-separated values
    #[arg(long)]
    pub csv: bool,
    /// Parquet (builds with feature `parquet`)
    #[arg(long)]
    pub parquet: bool,
    /// TensorBoard event files
    #[arg(long)]
    pub tensorboard: bool,
}
