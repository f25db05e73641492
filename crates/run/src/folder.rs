//! A run's folder on disk.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, replace};
use crate::exhibit::Exhibit;
use crate::metrics::{self, MetricsLog};
use crate::{Error, Row, Summary, report};

const RECIPE: &str = "recipe.toml";
const SUMMARY: &str = "summary.json";
const METRICS: &str = "metrics.jsonl";
const REPORT: &str = "report.html";
const ARTEFACTS: &str = "artefacts";
const CHECKPOINT: &str = "checkpoint";
const LOCK: &str = "run.lock";

/// The folder of a run, for reading.
///
/// | file | what |
/// | --- | --- |
/// | `recipe.toml` | the recipe with all defaults and settings filled in |
/// | `metrics.jsonl` | a line per step |
/// | `checkpoint/state.safetensors` | where to go on |
/// | `artefacts/` | pictures and tables as JSON, and what files the method makes |
/// | `summary.json` | figures, claims, why it stopped, what it used |
/// | `report.html` | all of that for a person, in one file |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder of an existing run.
    pub fn open(path: impl Into<PathBuf>) -> Result<RunFolder, Error> {
        let path = path.into();
        if !path.is_dir() {
            let problem = if path.exists() { "it is not a folder" } else { "it does not exist" };
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, problem);
            return Err(Error::disk(&path, "open this run folder", source));
        }
        if !path.join(RECIPE).is_file() {
            return Err(Error::NotARun { path, missing: RECIPE });
        }
        Ok(RunFolder { path })
    }

    /// Makes the folder of a new run: `path`, which must not exist or be empty, or else `runs/<recipe>-<n>` with the first free n.
    pub(crate) fn create(path: Option<&Path>, recipe: &str) -> Result<RunFolder, Error> {
        let path = match path {
            Some(path) => new_folder(path)?,
            None => counted(Path::new("runs"), recipe)?,
        };
        for part in [ARTEFACTS, CHECKPOINT] {
            let part = path.join(part);
            fs::create_dir(&part).map_err(|e| Error::disk(&part, "make this folder", e))?;
        }
        Ok(RunFolder { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved recipe.
    pub fn recipe_text(&self) -> Result<String, Error> {
        let path = self.path.join(RECIPE);
        fs::read_to_string(&path).map_err(|e| Error::disk(&path, "read", e))
    }

    /// The summary; `None` while the run goes on, or after a kill.
    pub fn summary(&self) -> Result<Option<Summary>, Error> {
        let path = self.path.join(SUMMARY);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(|e| Error::disk(&path, "read", e))?;
        let summary = serde_json::from_slice(&text).map_err(|error| {
            Error::corrupt(&path, format!("this is not the summary of a run: {error}"))
        })?;
        Ok(Some(summary))
    }

    /// The rows of `metrics.jsonl` so far.
    pub fn rows(&self) -> Result<Vec<Row>, Error> {
        metrics::read(&self.path.join(METRICS))
    }

    /// Writes `report.html` anew from what is in the folder, and returns its path.
    pub fn write_report(&self) -> Result<PathBuf, Error> {
        let summary = self.summary()?.ok_or_else(|| Error::NotEnded { path: self.path.clone() })?;
        self.write_report_of(&summary, &crate::disk::FileSystem)
    }

    fn write_report_of(&self, summary: &Summary, disk: &dyn Disk) -> Result<PathBuf, Error> {
        let exhibits = summary
            .exhibits
            .iter()
            .map(|name| self.exhibit(name))
            .collect::<Result<Vec<_>, _>>()?;
        let html = report::page(summary, &self.rows()?, &exhibits, &self.recipe_text()?)?;
        let path = self.path.join(REPORT);
        replace(disk, &path, html.as_bytes())?;
        Ok(path)
    }

    fn exhibit(&self, name: &str) -> Result<Exhibit, Error> {
        let path = self.exhibit_path(name);
        let text = fs::read(&path).map_err(|e| Error::disk(&path, "read", e))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::corrupt(&path, format!("this is no picture or table: {error}")))
    }

    fn exhibit_path(&self, name: &str) -> PathBuf {
        self.path.join(ARTEFACTS).join(format!("{name}.json"))
    }

    pub(crate) fn checkpoint_path(&self) -> PathBuf {
        self.path.join(CHECKPOINT).join("state.safetensors")
    }
}

fn new_folder(path: &Path) -> Result<PathBuf, Error> {
    // What cannot be listed is a file, which `create_dir_all` refuses, or not there.
    if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::FolderExists { path: path.to_owned() });
    }
    fs::create_dir_all(path).map_err(|e| Error::disk(path, "make this folder", e))?;
    Ok(path.to_owned())
}

/// `<recipe>-<n>` with the first free n.
pub(crate) fn counted(parent: &Path, recipe: &str) -> Result<PathBuf, Error> {
    fs::create_dir_all(parent).map_err(|e| Error::disk(parent, "make this folder", e))?;
    let recipe = crate::exhibit::file_name(recipe);
    for n in 1u64.. {
        let path = parent.join(format!("{recipe}-{n}"));
        // Making it is the test: two runs that start together get different folders.
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::disk(&path, "make this folder", error)),
        }
    }
    unreachable!("there is a free number")
}

/// The folder of a run that is being driven, for writing. Locked against a second driver.
pub(crate) struct Store {
    pub(crate) folder: RunFolder,
    pub(crate) log: MetricsLog,
    disk: Box<dyn Disk>,
    _lock: File,
}

impl Store {
    /// Starts writing into a new folder, the recipe first.
    pub(crate) fn create(
        folder: RunFolder,
        disk: Box<dyn Disk>,
        recipe: &str,
    ) -> Result<Store, Error> {
        let lock = lock(&folder)?;
        replace(&*disk, &folder.path.join(RECIPE), recipe.as_bytes())?;
        let log = MetricsLog::open(&*disk, &folder.path.join(METRICS), 0)?;
        Ok(Store { folder, log, disk, _lock: lock })
    }

    /// Goes on writing into a folder whose metrics are `metrics_bytes` long.
    pub(crate) fn reopen(
        folder: RunFolder,
        disk: Box<dyn Disk>,
        lock: File,
        metrics_bytes: u64,
    ) -> Result<Store, Error> {
        let log = MetricsLog::open(&*disk, &folder.path.join(METRICS), metrics_bytes)?;
        Ok(Store { folder, log, disk, _lock: lock })
    }

    pub(crate) fn write_artefact(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.folder.path.join(ARTEFACTS).join(name);
        replace(&*self.disk, &path, bytes)?;
        Ok(path)
    }

    pub(crate) fn write_exhibit(&self, name: &str, exhibit: &Exhibit) -> Result<(), Error> {
        let text = serde_json::to_vec(exhibit).map_err(Error::other)?;
        replace(&*self.disk, &self.folder.exhibit_path(name), &text)
    }

    pub(crate) fn write_checkpoint(&self, bytes: &[u8]) -> Result<(), Error> {
        replace(&*self.disk, &self.folder.checkpoint_path(), bytes)
    }

    /// Writes the report, then the summary: with it a run may be finished for good, so nothing is left to be written after it.
    pub(crate) fn write_summary(&mut self, summary: &Summary) -> Result<(), Error> {
        self.log.sync()?;
        self.folder.write_report_of(summary, &*self.disk)?;
        let mut text = serde_json::to_vec_pretty(summary).map_err(Error::other)?;
        text.push(b'\n');
        replace(&*self.disk, &self.folder.path.join(SUMMARY), &text)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Only tidiness: a lock file without a lock harms nothing.
        let _ = fs::remove_file(self.folder.path.join(LOCK));
    }
}

/// Takes the folder for this process until the file is dropped; the system lets go of it if the process dies.
pub(crate) fn lock(folder: &RunFolder) -> Result<File, Error> {
    let path = folder.path.join(LOCK);
    let file = File::create(&path).map_err(|e| Error::disk(&path, "write", e))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::Busy { path: folder.path.clone() }),
        // Some network file systems know no locks; a run must still be possible there.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}
