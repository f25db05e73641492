//! Who watches a run.

use indexmap::IndexMap;

use crate::{Number, Stop, Summary};

/// A run as it starts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Title of the recipe.
    pub title: String,
    /// The run folder, if there is one.
    pub folder: Option<std::path::PathBuf>,
    /// Names of the arms.
    pub arms: Vec<String>,
    /// Whether it goes on from a checkpoint.
    pub resumed: bool,
}

/// An arm as it starts.
#[derive(Clone, Copy, Debug)]
pub struct ArmView<'a> {
    /// Name; empty for a run without arms.
    pub name: &'a str,
    /// Its number, from 0.
    pub index: usize,
    /// Number of arms.
    pub count: usize,
    /// Steps already done.
    pub step: u64,
    /// Number of steps, if known.
    pub total: Option<u64>,
}

/// A step that was done.
#[derive(Clone, Copy, Debug)]
pub struct StepView<'a> {
    /// The arm.
    pub arm: &'a str,
    /// Steps done in the arm.
    pub step: u64,
    /// What the step reported.
    pub metrics: &'a IndexMap<String, Number>,
}

/// Someone who is told what a run does. Calls come from the loop's thread; a slow observer slows the run.
pub trait Observer: Send {
    /// The run starts.
    fn started(&mut self, plan: &Plan) {
        let _ = plan;
    }
    /// An arm starts or goes on.
    fn arm(&mut self, arm: ArmView<'_>) {
        let _ = arm;
    }
    /// A step was done.
    fn step(&mut self, step: StepView<'_>) {
        let _ = step;
    }
    /// An arm's steps are over.
    fn stopped(&mut self, arm: &str, stop: &Stop) {
        let _ = (arm, stop);
    }
    /// Long work outside the steps begins.
    fn phase(&mut self, name: &str, total: Option<u64>) {
        let _ = (name, total);
    }
    /// A part of that work is done.
    fn tick(&mut self, done: u64) {
        let _ = done;
    }
    /// The method has something to say.
    fn note(&mut self, text: &str) {
        let _ = text;
    }
    /// A checkpoint was written.
    fn saved(&mut self, step: u64) {
        let _ = step;
    }
    /// The run is over or interrupted.
    fn finished(&mut self, summary: &Summary) {
        let _ = summary;
    }
}

/// Watches without a word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {}
