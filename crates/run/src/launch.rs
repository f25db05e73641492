//! From a recipe to a finished run folder.

use std::path::{Path, PathBuf};

use lisse_array::Device;

use crate::checkpoint::{Checkpoint, Progress, States};
use crate::disk::{Disk, FileSystem};
use crate::drive::Driver;
use crate::folder::{self, Store};
use crate::recipe::{Overrides, Recipe};
use crate::{
    Audit, Environment, Error, Experiment, Interrupt, Observer, Plan, Quiet, Ranks, Registry,
    RunFolder, Setup, Stop, Summary, Terminal, Watch,
};

/// Where a recipe comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A recipe of the registry, by name.
    Builtin(String),
    /// A file.
    File(PathBuf),
}

impl Source {
    /// What a person means by `text`: a file if it looks like one or is there, else a recipe of the registry.
    pub fn find(registry: &Registry, text: &str) -> Result<Source, Error> {
        let path = Path::new(text);
        let is_toml =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        if is_toml || text.contains(std::path::MAIN_SEPARATOR) || path.is_file() {
            return Ok(Source::File(path.to_owned()));
        }
        registry.recipe(text).map(|recipe| Source::Builtin(recipe.name.into()))
    }

    fn read(&self, registry: &Registry, overrides: &Overrides) -> Result<Recipe, Error> {
        match self {
            Source::File(path) => Recipe::read(path, overrides),
            Source::Builtin(name) => {
                let entry = registry.recipe(name)?;
                Recipe::parse(&format!("{name}.toml"), name, entry.text, overrides)
            }
        }
    }
}

/// What to run and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The recipe.
    pub source: Source,
    /// Folder of the run; by default `runs/<recipe>-<n>`.
    pub out: Option<PathBuf>,
    /// What the command line changes in the recipe.
    pub overrides: Overrides,
}

impl Request {
    /// Runs `source` as it is.
    pub fn new(source: Source) -> Request {
        Request { source, out: None, overrides: Overrides::default() }
    }
}

/// Who watches, who helps, and who may interrupt.
pub struct Session {
    /// Is told what happens. Only the first rank's is.
    pub observer: Box<dyn Observer>,
    /// The ranks that work together.
    pub ranks: Ranks,
    /// A request to save and stop.
    pub interrupt: Interrupt,
}

impl Session {
    /// Alone and without a word.
    pub fn quiet() -> Session {
        Session { observer: Box::new(Quiet), ranks: Ranks::alone(), interrupt: Interrupt::manual() }
    }

    /// With progress on standard error, Ctrl-C, and the ranks under which the process was started.
    pub fn terminal() -> Result<Session, Error> {
        Ok(Session {
            observer: Box::new(Terminal::new()),
            ranks: Ranks::from_environment()?,
            interrupt: Interrupt::install()?,
        })
    }
}

/// A run that is over or interrupted.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its folder; `None` on ranks other than the first.
    pub folder: Option<RunFolder>,
    /// What it came to; the same on all ranks but for time and memory.
    pub summary: Summary,
}

/// Reads the recipe, makes the run's folder and drives the run.
///
/// Several ranks read the recipe each for itself; only the first writes files. If one rank fails while others wait for it, the
/// caller should end all with [`Ranks::abort`].
pub fn launch(registry: &Registry, request: &Request, session: Session) -> Result<Finished, Error> {
    launch_on(registry, request, session, || Box::new(FileSystem))
}

pub(crate) fn launch_on(
    registry: &Registry,
    request: &Request,
    session: Session,
    disk: impl FnOnce() -> Box<dyn Disk>,
) -> Result<Finished, Error> {
    let recipe = request.source.read(registry, &request.overrides)?;
    let kind = recipe.kind(registry)?;
    let text = kind.resolve(&recipe)?;
    recipe.head().methods.iter().try_for_each(|slug| registry.method(slug).map(drop))?;
    recipe.device().with(|| {
        // Before the folder is made, so that a missing data set leaves nothing behind.
        let experiment = kind.experiment(&setup(&recipe, &session), &recipe)?;
        let store = session.ranks.lead(|| {
            let folder = RunFolder::create(request.out.as_deref(), &recipe.head().name)?;
            Store::create(folder, disk(), &text)
        })?;
        let run = Run { recipe: &recipe, text: &text, session, store };
        run.drive(&experiment, Progress::default(), States::new())
    })
}

/// Goes on with an interrupted or killed run, to the same result as if it had never stopped.
pub fn resume(registry: &Registry, path: &Path, session: Session) -> Result<Finished, Error> {
    let folder = RunFolder::open(path)?;
    let lock = session.ranks.lead(|| {
        let lock = folder::lock(&folder)?;
        match folder.summary()? {
            Some(Summary { finished: true, stop, .. }) => {
                Err(Error::AlreadyFinished { path: path.to_owned(), stop: stop.to_string() })
            }
            _ => Ok(lock),
        }
    })?;
    let text = folder.recipe_text()?;
    let recipe = Recipe::read(&path.join("recipe.toml"), &Overrides::default())?;
    let kind = recipe.kind(registry)?;
    kind.resolve(&recipe)?;
    recipe.device().with(|| {
        let bytes = session.ranks.lead(|| Checkpoint::read(&folder))?.flatten();
        let checkpoint = session
            .ranks
            .broadcast(bytes)?
            .map(|bytes| Checkpoint::decode(&folder, &bytes, &text))
            .transpose()?;
        let experiment = kind.experiment(&setup(&recipe, &session), &recipe)?;
        let (progress, states) = match &checkpoint {
            Some(checkpoint) => (checkpoint.progress.clone(), checkpoint.states(&experiment)?),
            None => (Progress::default(), States::new()),
        };
        let metrics_bytes = progress.metrics_bytes;
        let reopen = |lock| Store::reopen(folder, Box::new(FileSystem), lock, metrics_bytes);
        let store = lock.map(reopen).transpose()?;
        let run = Run { recipe: &recipe, text: &text, session, store };
        run.drive(&experiment, progress, states)
    })
}

/// The objectives of a recipe, for checking their derivatives.
pub fn audits(registry: &Registry, request: &Request) -> Result<Vec<Audit>, Error> {
    let recipe = request.source.read(registry, &request.overrides)?;
    let kind = recipe.kind(registry)?;
    kind.resolve(&recipe)?;
    recipe.device().with(|| kind.audit(&setup(&recipe, &Session::quiet()), &recipe))
}

fn setup(recipe: &Recipe, session: &Session) -> Setup {
    let head = recipe.head();
    let device: Device = recipe.device();
    Setup {
        name: head.name.clone(),
        seed: head.seed,
        device,
        quick: head.quick,
        ranks: session.ranks.clone(),
    }
}

/// All that a run needs besides its experiment.
struct Run<'r> {
    recipe: &'r Recipe,
    text: &'r str,
    session: Session,
    store: Option<Store>,
}

impl Run<'_> {
    fn drive(
        self,
        experiment: &Experiment<'_>,
        progress: Progress,
        states: States,
    ) -> Result<Finished, Error> {
        let Session { observer, ranks, interrupt } = self.session;
        let first = ranks.rank() == 0;
        let ranks_count = ranks.size();
        let observer: Box<dyn Observer> = if first { observer } else { Box::new(Quiet) };
        let resumed = progress != Progress::default();
        let mut watch = Watch::new(self.store, observer, ranks, interrupt);
        let folder = watch.store.as_ref().map(|store| store.folder.clone());
        watch.observer.started(&Plan {
            title: self.recipe.head().title.clone(),
            folder: folder.as_ref().map(|folder| folder.path().to_owned()),
            arms: experiment
                .arm_names()
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            resumed,
        });
        let mut driver =
            Driver::new(experiment, &self.recipe.head().run, self.text, watch, progress, states);
        let stop = driver.run()?;
        let summary = summarise(self.recipe, ranks_count, stop, &driver);
        if let Some(store) = &mut driver.watch.store {
            store.write_summary(&summary)?;
        }
        driver.watch.observer.finished(&summary);
        Ok(Finished { folder, summary })
    }
}

fn summarise(recipe: &Recipe, ranks: usize, stop: Stop, driver: &Driver<'_, '_>) -> Summary {
    let (head, progress, record) = (recipe.head(), &driver.progress, &driver.watch.record);
    let finished = stop != Stop::Interrupted;
    // The claims of half a run say nothing.
    let claims = if finished { recipe.claims() } else { &[] };
    Summary {
        recipe: head.name.clone(),
        kind: head.kind.clone(),
        title: head.title.clone(),
        summary: head.summary.clone(),
        methods: head.methods.clone(),
        seed: head.seed,
        device: head.device.clone(),
        quick: head.quick,
        ranks,
        advice: stop.advice(),
        finished,
        stop,
        steps: progress.steps,
        wall_secs: progress.wall_secs,
        cpu_secs: progress.cpu_secs,
        peak_memory_bytes: progress.peak_memory_bytes,
        figures: record.figures.clone(),
        claims: claims.iter().map(|claim| claim.evaluate(&record.figures)).collect(),
        arms: progress.ended.clone(),
        notes: record.notes.clone(),
        exhibits: record.exhibits.clone(),
        environment: Environment::here(),
    }
}

#[cfg(test)]
mod tests;
