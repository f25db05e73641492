//! What a process tells the world.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::exhibit::{Exhibit, file_name};
use crate::folder::Store;
use crate::metrics::RESERVED;
use crate::report::{Picture, Table};
use crate::{Error, Interrupt, Number, Observer, Ranks, Row, StepView};

/// What has been told so far and must survive a resume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) figures: IndexMap<String, Number>,
    pub(crate) exhibits: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// The way out for a process: metrics, figures, pictures, tables, files, progress; and the way in for a wish to stop.
pub struct Watch {
    pub(crate) record: Record,
    pub(crate) metrics: IndexMap<String, Number>,
    pub(crate) arm: String,
    pub(crate) step: u64,
    pub(crate) store: Option<Store>,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) ranks: Ranks,
    pub(crate) interrupt: Interrupt,
    /// Rows and exhibits of a run without a folder.
    pub(crate) kept_rows: Vec<Row>,
    pub(crate) kept_exhibits: IndexMap<String, Exhibit>,
    pub(crate) keep: bool,
    ticks: u64,
}

impl Watch {
    pub(crate) fn new(store: Option<Store>, observer: Box<dyn Observer>, ranks: Ranks, interrupt: Interrupt) -> Watch {
        Watch {
            record: Record::default(),
            metrics: IndexMap::new(),
            arm: String::new(),
            step: 0,
            store,
            observer,
            ranks,
            interrupt,
            kept_rows: Vec::new(),
            kept_exhibits: IndexMap::new(),
            keep: false,
            ticks: 0,
        }
    }

    /// A number of this step, for the curve of `name`. Panics for the names `arm`, `step` and `seconds`, which every row has.
    pub fn metric(&mut self, name: &str, value: f64) {
        assert!(!RESERVED.contains(&name), "metric: `{name}` is a column of every row already; choose another name");
        match self.metrics.get_mut(name) {
            Some(old) => *old = Number(value),
            None => {
                self.metrics.insert(name.to_owned(), Number(value));
            }
        }
    }

    /// A final number of this arm, or of the run in [`Experiment::conclude`](crate::Experiment::conclude). Arm `sam` has
    /// `sam.name`.
    pub fn figure(&mut self, name: &str, value: f64) {
        let name = self.full_name(name);
        self.record.figures.insert(name, Number(value));
    }

    /// A picture for the report; `name` becomes its file name under `artefacts/`. The same name again replaces it.
    pub fn picture(&mut self, name: &str, picture: impl Into<Picture>) -> Result<(), Error> {
        self.exhibit(name, Exhibit::Picture(picture.into()))
    }

    /// A table for the report; `name` becomes its file name under `artefacts/`. The same name again replaces it.
    pub fn table(&mut self, name: &str, table: Table) -> Result<(), Error> {
        self.exhibit(name, Exhibit::Table(table))
    }

    /// A file under `artefacts/`: weights, samples, anything. Returns its path, or `None` if this rank writes no files.
    pub fn artefact(&mut self, name: &str, bytes: &[u8]) -> Result<Option<PathBuf>, Error> {
        let name = file_name(&self.full_name(name));
        self.store.as_ref().map(|store| store.write_artefact(&name, bytes)).transpose()
    }

    /// A line for the person at the terminal and for the report.
    pub fn note(&mut self, text: &str) {
        self.observer.note(text);
        self.record.notes.push(text.to_owned());
    }

    /// Names the long work that begins, with the number of [`tick`](Watch::tick)s it will make, if known.
    pub fn phase(&mut self, name: &str, total: Option<u64>) {
        self.ticks = 0;
        self.observer.phase(name, total);
    }

    /// A part of long work is done. Fails with [`Error::Interrupted`] once someone asked to stop; pass that on with `?`, the loop
    /// has saved what is needed to come back. Several ranks, which may tick unequally, go on to the end of their work.
    pub fn tick(&mut self) -> Result<(), Error> {
        self.ticks += 1;
        self.observer.tick(self.ticks);
        if self.interrupt.is_requested() && self.ranks.size() == 1 { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// The ranks that work together.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Steps done in this arm.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The arm; empty for a run without arms, and in the conclusion.
    pub fn arm(&self) -> &str {
        &self.arm
    }

    fn full_name(&self, name: &str) -> String {
        if self.arm.is_empty() { name.to_owned() } else { format!("{}.{name}", self.arm) }
    }

    fn exhibit(&mut self, name: &str, exhibit: Exhibit) -> Result<(), Error> {
        let name = file_name(&self.full_name(name));
        if let Some(store) = &self.store {
            store.write_exhibit(&name, &exhibit)?;
        }
        if self.keep {
            self.kept_exhibits.insert(name.clone(), exhibit);
        }
        if !self.record.exhibits.contains(&name) {
            self.record.exhibits.push(name);
        }
        Ok(())
    }

    /// Writes and forgets the metrics of the step.
    pub(crate) fn end_step(&mut self, seconds: f64) -> Result<Row, Error> {
        let row = Row { arm: self.arm.clone(), step: self.step, seconds, metrics: std::mem::take(&mut self.metrics) };
        self.observer.step(StepView { arm: &row.arm, step: row.step, metrics: &row.metrics });
        if let Some(store) = self.store.as_mut().filter(|_| !row.metrics.is_empty()) {
            store.log.push(&row)?;
        }
        if self.keep {
            self.kept_rows.push(row.clone());
        }
        Ok(row)
    }
}
