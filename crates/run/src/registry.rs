//! What there is to run: methods, recipes and recipe kinds, put together by explicit calls of the field crates.

use serde::Serialize;

use crate::kind::AnyKind;
use crate::recipe::{Overrides, Recipe};
use crate::{Error, RecipeKind, suggest};

/// A method, as `lisse list` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Method {
    /// Short name: `sharpness-aware-minimization`.
    pub slug: &'static str,
    /// Name in words.
    pub title: &'static str,
    /// Title of the paper.
    pub paper: &'static str,
    /// Its number on arXiv, if it is there.
    pub arxiv: Option<&'static str>,
    /// Its authors.
    pub authors: &'static str,
    /// Its year.
    pub year: u16,
    /// The field of Lisse to which the method belongs.
    pub field: &'static str,
    /// What it is for, in a sentence.
    pub summary: &'static str,
    /// Names of its recipes.
    pub recipes: &'static [&'static str],
    /// The entry for a bibliography.
    pub bibtex: &'static str,
}

/// A recipe that comes with Lisse.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecipeEntry {
    /// Name: `sharpness-digits`.
    pub name: &'static str,
    /// One line.
    pub title: &'static str,
    /// Its TOML.
    pub text: &'static str,
}

/// The [`RecipeEntry`] of a file in `recipes/`, beside `crates/`: `recipe!("sharpness-digits", "its title")`.
#[macro_export]
macro_rules! recipe {
    ($name:literal, $title:literal $(,)?) => {
        $crate::RecipeEntry {
            name: $name,
            title: $title,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../recipes/",
                $name,
                ".toml"
            )),
        }
    };
}

/// Methods, recipes and kinds.
#[derive(Default)]
pub struct Registry {
    methods: Vec<Method>,
    recipes: Vec<RecipeEntry>,
    kinds: Vec<Box<dyn AnyKind>>,
}

impl Registry {
    /// An empty one.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds a method. Panics if its slug is taken.
    pub fn add_method(&mut self, method: Method) -> &mut Self {
        assert!(
            self.methods.iter().all(|other| other.slug != method.slug),
            "two methods are called {}",
            method.slug
        );
        self.methods.push(method);
        self
    }

    /// Adds a recipe. Panics if its name is taken.
    pub fn add_recipe(&mut self, recipe: RecipeEntry) -> &mut Self {
        assert!(
            self.recipes.iter().all(|other| other.name != recipe.name),
            "two recipes are called {}",
            recipe.name
        );
        self.recipes.push(recipe);
        self
    }

    /// Adds a recipe kind. Panics if its name is taken.
    pub fn add_kind(&mut self, kind: impl RecipeKind) -> &mut Self {
        let name = RecipeKind::name(&kind);
        assert!(
            self.kinds.iter().all(|other| other.name() != name),
            "two recipe kinds are called {name}"
        );
        self.kinds.push(Box::new(kind));
        self
    }

    /// All methods.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// All recipes.
    pub fn recipes(&self) -> &[RecipeEntry] {
        &self.recipes
    }

    /// Names of all recipe kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.iter().map(|kind| kind.name())
    }

    /// A method by its slug; the error names the nearest.
    pub fn method(&self, slug: &str) -> Result<&Method, Error> {
        let found = self.methods.iter().find(|method| method.slug == slug);
        found.ok_or_else(|| unknown("method", slug, self.methods.iter().map(|method| method.slug)))
    }

    /// A recipe by its name; the error names the nearest, or those of the method with that name.
    pub fn recipe(&self, name: &str) -> Result<&RecipeEntry, Error> {
        let found = self.recipes.iter().find(|recipe| recipe.name == name);
        found.ok_or_else(|| match self.method(name) {
            Ok(method) => Error::Unknown {
                what: "recipe",
                name: name.into(),
                hint: format!("; it is a method, whose recipes are {}", method.recipes.join(", ")),
            },
            Err(_) => unknown("recipe", name, self.recipes.iter().map(|recipe| recipe.name)),
        })
    }

    pub(crate) fn kind(&self, name: &str) -> Result<&dyn AnyKind, Error> {
        let found = self.kinds.iter().find(|kind| kind.name() == name);
        found.map(|kind| &**kind).ok_or_else(|| unknown("recipe kind", name, self.kinds()))
    }

    /// Checks that every recipe fits its kind, in its full and its quick form, and that all names which methods and recipes give
    /// each other exist. For a test.
    pub fn check(&self) -> Result<(), Error> {
        for entry in &self.recipes {
            for quick in [false, true] {
                let overrides = Overrides { quick, ..Overrides::default() };
                let recipe = Recipe::parse(entry.name, entry.name, entry.text, &overrides)?;
                recipe.kind(self)?.resolve(&recipe)?;
                recipe.head().methods.iter().try_for_each(|slug| self.method(slug).map(drop))?;
            }
        }
        self.methods
            .iter()
            .flat_map(|method| method.recipes)
            .try_for_each(|name| self.recipe(name).map(drop))
    }
}

fn unknown<'a>(what: &'static str, name: &str, names: impl IntoIterator<Item = &'a str>) -> Error {
    Error::Unknown { what, name: name.into(), hint: suggest::hint(name, names) }
}
