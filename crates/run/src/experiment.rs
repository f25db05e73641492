//! One process, or several arms that are compared.

use indexmap::IndexMap;

use crate::process::{AnyProcess, AnyState};
use crate::{Error, Number, Process, Watch};

type Conclusion<'a> = Box<dyn Fn(&Finals<'_>, &mut Watch) -> Result<(), Error> + 'a>;

/// What a run drives: one process, or several named arms, one after another, on the same data and seed.
///
/// ```
/// # use lisse_run::{Error, Experiment, Process, Step, Watch};
/// struct Count { by: u64 }
/// impl Process for Count {
///     type State = u64;
///     fn start(&self) -> Result<u64, Error> { Ok(0) }
///     fn advance(&self, state: &mut u64, watch: &mut Watch) -> Result<Step, Error> {
///         *state += self.by;
///         watch.metric("count", *state as f64);
///         Ok(Step::Continue)
///     }
///     fn finish(&self, state: &u64, watch: &mut Watch) -> Result<(), Error> {
///         watch.figure("count", *state as f64);
///         Ok(())
///     }
///     fn total(&self) -> Option<u64> { Some(10) }
/// }
/// let experiment = Experiment::new().arm("ones", Count { by: 1 }).arm("twos", Count { by: 2 });
/// let outcome = lisse_run::rehearse(&experiment)?;
/// assert_eq!(outcome.figures["twos.count"].0, 20.0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Default)]
pub struct Experiment<'a> {
    pub(crate) arms: Vec<(String, Box<dyn AnyProcess + 'a>)>,
    pub(crate) conclusion: Option<Conclusion<'a>>,
}

impl<'a> Experiment<'a> {
    /// No arms yet.
    pub fn new() -> Self {
        Experiment::default()
    }

    /// One process, without an arm name: its figures carry no prefix.
    pub fn single(process: impl Process + 'a) -> Self {
        Experiment::new().arm("", process)
    }

    /// Adds an arm. Its figures are called `name.figure`. Panics if the name is taken.
    pub fn arm(mut self, name: impl Into<String>, process: impl Process + 'a) -> Self {
        let name = name.into();
        assert!(self.arm_names().all(|other| other != name), "two arms are called `{name}`");
        self.arms.push((name, Box::new(process)));
        self
    }

    /// What to do after the last arm with the final states of all: pictures and tables that show the arms together.
    /// Figures given here carry no prefix and need names without a dot.
    pub fn conclude(
        mut self,
        f: impl Fn(&Finals<'_>, &mut Watch) -> Result<(), Error> + 'a,
    ) -> Self {
        self.conclusion = Some(Box::new(f));
        self
    }

    /// Names of the arms, in order.
    pub fn arm_names(&self) -> impl Iterator<Item = &str> {
        self.arms.iter().map(|(name, _)| name.as_str())
    }
}

/// What the arms ended with, for [`Experiment::conclude`].
pub struct Finals<'r> {
    pub(crate) states: &'r [(String, Box<dyn AnyState>)],
    pub(crate) figures: &'r IndexMap<String, Number>,
}

impl Finals<'_> {
    /// Final state of an arm whose process is a `P`; `None` for another name or another type.
    pub fn state<P: Process>(&self, arm: &str) -> Option<&P::State> {
        self.states.iter().find(|(name, _)| name == arm)?.1.as_any().downcast_ref()
    }

    /// A figure by its full name, such as `sam.test_accuracy`.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.get(name).map(|number| number.0)
    }
}
