//! Everything around a method: recipes, the one loop, run folders, claims, reports and ranks.
//!
//! A method implements [`Process`]: start, advance, finish. A field crate offers it as a [`RecipeKind`], whose `Config` is the
//! schema of a TOML recipe. [`launch`] reads a recipe, drives its arms one after another, writes metrics, checkpoints, figures,
//! claims and a report into a run folder, and [`resume`] goes on after a kill to the same result.
//!
//! **Writing a method**: [`Process`], [`Step`], [`Stop`], [`Watch`], [`Experiment`], [`rehearse`].
//! **Offering it**: [`RecipeKind`], [`Setup`], [`Arm`], [`Invalid`], [`Audit`], [`Registry`], [`Method`], [`RecipeEntry`].
//! **Running it**: [`Request`], [`Source`], [`Session`], [`launch`], [`resume`], [`Observer`], [`Interrupt`], [`Ranks`].
//! **Looking at it**: [`RunFolder`], [`Summary`], [`report`], [`compare`], [`export`], [`claim`].

mod arrays;
mod audit;
mod checkpoint;
pub mod claim;
pub mod compare;
mod disk;
mod drive;
mod environment;
mod error;
mod exhibit;
mod experiment;
pub mod export;
mod folder;
mod interrupt;
mod kind;
mod launch;
mod metrics;
mod number;
mod observe;
mod process;
mod ranks;
pub mod recipe;
mod registry;
pub mod report;
mod stop;
mod suggest;
mod summary;
mod terminal;
#[cfg(test)]
mod toy;
mod watch;

pub use audit::Audit;
pub use drive::{Rehearsal, rehearse};
pub use environment::Environment;
pub use error::Error;
pub use experiment::{Experiment, Finals};
pub use folder::RunFolder;
pub use interrupt::Interrupt;
pub use kind::{Arm, Invalid, RecipeKind, Setup};
pub use launch::{Finished, Request, Session, Source, audits, launch, resume};
pub use metrics::Row;
pub use number::Number;
pub use observe::{ArmView, Observer, Plan, Quiet, StepView};
pub use process::{Process, Step};
pub use ranks::{Ranks, Summand};
pub use registry::{Method, RecipeEntry, Registry};
pub use stop::Stop;
pub use summary::{ArmSummary, Summary};
pub use terminal::Terminal;
pub use watch::Watch;
