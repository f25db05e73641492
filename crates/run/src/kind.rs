//! Recipe kinds: what reads a recipe and makes an experiment of it.

use lisse_array::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::recipe::{Recipe, resolved_text};
use crate::{Audit, Error, Experiment, Ranks};

/// One arm of a recipe, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm<T> {
    /// Name; empty for a recipe without arms.
    pub name: String,
    /// The kind's configuration for this arm.
    pub config: T,
}

/// A value of the right type that is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub(crate) key: String,
    pub(crate) expected: String,
}

impl Invalid {
    /// `key` with dots, and what would be right: `Invalid::new("method.rho", "a number above 0")`. Where it was written and what
    /// was found there is added for you.
    pub fn new(key: impl Into<String>, expected: impl Into<String>) -> Invalid {
        Invalid { key: key.into(), expected: expected.into() }
    }
}

/// What every experiment is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Name of the recipe.
    pub name: String,
    /// Seed of all randomness.
    pub seed: u64,
    /// Where arrays are placed; already current when the experiment is made and driven.
    pub device: Device,
    /// Whether this is the quick form.
    pub quick: bool,
    /// The ranks that work together.
    pub ranks: Ranks,
}

/// A kind of recipe: its schema and how to make an experiment of it.
///
/// The schema is the struct `Config`. Derive `Serialize` and `Deserialize`, give `#[serde(default)]` to what may be left out;
/// unknown keys are errors without any attribute. An enum that chooses between methods is best
/// `#[serde(tag = "name", deny_unknown_fields)]`, which reads `[method] name = "sam"`. Do not use `#[serde(flatten)]`; use `f64`,
/// `u64`, `i64` or `usize` for numbers.
pub trait RecipeKind: Send + Sync + 'static {
    /// The schema: all of the recipe that is not in [`Head`](crate::recipe::Head).
    type Config: Serialize + DeserializeOwned;

    /// The name that recipes give as `kind`.
    fn name(&self) -> &'static str;

    /// Checks what types cannot say: signs, ranges, names that depend on each other.
    fn validate(&self, config: &Self::Config) -> Result<(), Invalid> {
        let _ = config;
        Ok(())
    }

    /// Loads the data and makes the arms.
    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Self::Config>>,
    ) -> Result<Experiment<'static>, Error>;

    /// Names of all figures that an arm with this configuration will have, without the arm's name, if they are known beforehand.
    /// Claims about other figures are then refused before the run.
    fn figures(&self, config: &Self::Config) -> Option<Vec<String>> {
        let _ = config;
        None
    }

    /// The recipe's own objectives, for `lisse audit`.
    fn audit(&self, setup: &Setup, arms: Vec<Arm<Self::Config>>) -> Result<Vec<Audit>, Error> {
        let _ = (setup, arms);
        Ok(Vec::new())
    }
}

/// A [`RecipeKind`] of any configuration type.
pub(crate) trait AnyKind: Send + Sync {
    fn name(&self) -> &'static str;
    /// Reads and checks the recipe; returns it with all defaults filled in.
    fn resolve(&self, recipe: &Recipe) -> Result<String, Error>;
    fn experiment(&self, setup: &Setup, recipe: &Recipe) -> Result<Experiment<'static>, Error>;
    fn audit(&self, setup: &Setup, recipe: &Recipe) -> Result<Vec<Audit>, Error>;
}

impl<K: RecipeKind> AnyKind for K {
    fn name(&self) -> &'static str {
        RecipeKind::name(self)
    }

    fn resolve(&self, recipe: &Recipe) -> Result<String, Error> {
        let arms = recipe.configs::<K::Config>()?;
        for arm in &arms {
            self.validate(&arm.config).map_err(|invalid| recipe.reject(&arm.name, &invalid))?;
        }
        check_claims(self, recipe, &arms)?;
        resolved_text(recipe.head(), &arms)
    }

    fn experiment(&self, setup: &Setup, recipe: &Recipe) -> Result<Experiment<'static>, Error> {
        RecipeKind::experiment(self, setup, recipe.configs()?)
    }

    fn audit(&self, setup: &Setup, recipe: &Recipe) -> Result<Vec<Audit>, Error> {
        RecipeKind::audit(self, setup, recipe.configs()?)
    }
}

/// Refuses claims about figures that cannot come: of an arm that is not there, or not among those that the kind knows. A name
/// without a dot may be a figure of the conclusion, which no arm knows of.
fn check_claims<K: RecipeKind>(
    kind: &K,
    recipe: &Recipe,
    arms: &[Arm<K::Config>],
) -> Result<(), Error> {
    let mut known = Vec::new();
    let mut all_known = true;
    for arm in arms {
        match kind.figures(&arm.config) {
            Some(figures) if arm.name.is_empty() => known.extend(figures),
            Some(figures) => {
                known.extend(figures.into_iter().map(|figure| format!("{}.{figure}", arm.name)));
            }
            None => all_known = false,
        }
    }
    let single = arms.iter().all(|arm| arm.name.is_empty());
    let in_arm = |name: &str| {
        name.split_once('.')
            .is_none_or(|(arm, _)| arms.iter().any(|candidate| candidate.name == arm))
    };
    let possible = |name: &str| {
        let listed = known.iter().any(|figure| figure == name);
        listed
            || if single { !all_known } else { in_arm(name) && (!all_known || !name.contains('.')) }
    };
    for claim in recipe.claims() {
        // Without a list, the nearest name is the same figure of another arm.
        let suffixes: Vec<_> =
            claim.figures().into_iter().filter_map(|name| Some(name.split_once('.')?.1)).collect();
        let guesses = arms
            .iter()
            .flat_map(|arm| suffixes.iter().map(move |suffix| format!("{}.{suffix}", arm.name)));
        let names = if known.is_empty() { guesses.collect() } else { known.clone() };
        claim.check(possible, &names).map_err(Box::new)?;
    }
    Ok(())
}
