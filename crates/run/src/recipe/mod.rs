//! Recipes: TOML files that say what to run.
//!
//! The top-level keys of [`Head`] are the same for all; the rest is read by the recipe's [kind](crate::RecipeKind), whose `Config`
//! struct is the schema. `[arms.NAME]` tables are laid over the shared part, one per arm. `[quick]` is laid over everything for
//! the quick form, then `--set` settings follow.

mod error;
mod head;
mod read;
mod resolve;
mod tree;

use std::path::Path;

use lisse_array::Device;
use serde::de::DeserializeOwned;

pub use error::RecipeError;
use head::HEAD_KEYS;
pub use head::{EarlyStop, Goal, Head, Limits};
pub(crate) use resolve::resolved_text;
use tree::{Node, NotToml, Origin, Table, Value};

use crate::claim::Claim;
use crate::kind::{AnyKind, Arm, Invalid};
use crate::{Error, Registry, suggest};

/// What the command line changes in a recipe.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Whether to lay the `[quick]` table over the rest.
    pub quick: bool,
    /// Another seed.
    pub seed: Option<u64>,
    /// Another device.
    pub device: Option<Device>,
    /// Settings such as `method.rho=0.1`, applied in order.
    pub set: Vec<String>,
}

/// A recipe whose text has been read, but whose kind's part has not.
#[derive(Clone, Debug)]
pub struct Recipe {
    source: String,
    /// Where the kind is named.
    kind_place: String,
    head: Head,
    device: Device,
    claims: Vec<Claim>,
    /// The kind's part, shared by the arms.
    shared: Table,
    /// What each arm lays over it; one without a name if the recipe has no arms.
    arms: Vec<(String, Table)>,
}

impl Recipe {
    /// Reads a recipe file. A recipe without a name is called like its file.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Recipe, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::disk(path, "read", e))?;
        let name = path.file_stem().map_or_else(|| "recipe".into(), |stem| stem.to_string_lossy());
        Recipe::parse(&path.display().to_string(), &name, &text, overrides)
    }

    /// Reads the text of a recipe. `source` names it in messages; `name` is its name if it gives none.
    pub fn parse(
        source: &str,
        name: &str,
        text: &str,
        overrides: &Overrides,
    ) -> Result<Recipe, Error> {
        let mut root = tree::parse(text)
            .map_err(|NotToml { problem, offset }| {
                let line = offset.map_or(1, |offset| tree::line_at(text, offset));
                RecipeError {
                    place: format!("{source}:{line}"),
                    arm: None,
                    key: String::new(),
                    problem: format!("this is not TOML: {problem}"),
                }
            })
            .map_err(Box::new)?;
        apply(source, &mut root, overrides)?;

        let head_node = table_node(
            HEAD_KEYS
                .iter()
                .filter_map(|&key| Some((key.to_owned(), tree::remove(&mut root, key)?)))
                .collect(),
        );
        let mut head: Head =
            read::read(&head_node).map_err(|fault| locate(source, None, &fault, &[]))?;
        if head.name.is_empty() {
            name.clone_into(&mut head.name);
        }
        if head.title.is_empty() {
            head.title.clone_from(&head.name);
        }
        let arms = take_arms(source, &mut root)?;
        let mut recipe = Recipe {
            kind_place: head_node
                .child("kind")
                .map_or_else(|| source.to_owned(), |node| place_of(source, &node.origin)),
            source: source.into(),
            device: Device::Cpu,
            claims: Vec::new(),
            head,
            shared: root,
            arms,
        };
        recipe.device =
            recipe.head.device.parse().map_err(|problem: lisse_array::UnknownDevice| {
                recipe.head_error(&head_node, "device", problem.to_string())
            })?;
        recipe.check_limits(&head_node)?;
        recipe.claims = recipe.read_claims(&head_node)?;
        Ok(recipe)
    }

    /// The part that is the same for all kinds.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The device that the recipe names.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The recipe's claims.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Names of the arms in order; one empty name if there are none.
    pub fn arm_names(&self) -> impl Iterator<Item = &str> {
        self.arms.iter().map(|(name, _)| name.as_str())
    }

    /// The kind's part as a `T`, once for each arm.
    pub fn configs<T: DeserializeOwned>(&self) -> Result<Vec<Arm<T>>, Error> {
        self.arms
            .iter()
            .map(|(name, _)| {
                let node = self.arm_node(name);
                let config = read::read(&node)
                    .map_err(|fault| locate(&self.source, arm_of(name), &fault, &HEAD_KEYS))?;
                Ok(Arm { name: name.clone(), config })
            })
            .collect()
    }

    /// The error for a value that has the right type but is not valid.
    pub fn reject(&self, arm: &str, invalid: &Invalid) -> Error {
        let path: Vec<String> = invalid.key.split('.').map(str::to_owned).collect();
        let node = self.arm_node(arm);
        let mut place = self.source.clone();
        let mut problem = format!("expected {}", invalid.expected);
        if let Value::Table(table) = &node.value
            && let Some(found) = tree::find(table, &path)
        {
            place = place_of(&self.source, &found.origin);
            problem = format!("{problem}, found {}", found.value);
        }
        Box::new(RecipeError { place, arm: arm_of(arm), key: invalid.key.clone(), problem }).into()
    }

    fn arm_node(&self, name: &str) -> Node {
        let mut merged = self.shared.clone();
        if let Some((_, over)) = self.arms.iter().find(|(arm, _)| arm == name) {
            tree::merge(&mut merged, over);
        }
        table_node(merged)
    }

    /// The recipe's kind.
    pub(crate) fn kind<'r>(&self, registry: &'r Registry) -> Result<&'r dyn AnyKind, Error> {
        registry.kind(&self.head.kind).map_err(|unknown| {
            let (place, key) = (self.kind_place.clone(), "kind".into());
            Box::new(RecipeError { place, arm: None, key, problem: unknown.to_string() }).into()
        })
    }

    fn head_error(&self, head: &Node, key: &str, problem: String) -> Error {
        let place = head
            .child(key)
            .map_or_else(|| self.source.clone(), |node| place_of(&self.source, &node.origin));
        Box::new(RecipeError { place, arm: None, key: key.into(), problem }).into()
    }

    fn read_claims(&self, head: &Node) -> Result<Vec<Claim>, Error> {
        let parse = |text: &String| {
            text.parse().map_err(|error: crate::claim::ClaimError| {
                self.head_error(head, "claims", error.to_string())
            })
        };
        self.head.claims.iter().map(parse).collect()
    }

    fn check_limits(&self, head: &Node) -> Result<(), Error> {
        let run = &self.head.run;
        let positive = |key: &str, value: Option<f64>| match value {
            Some(value) if value.is_nan() || value <= 0.0 => Err(self.head_error(
                head,
                "run",
                format!("run.{key}: expected a number above 0, found the number {value}"),
            )),
            _ => Ok(()),
        };
        positive("checkpoint_secs", Some(run.checkpoint_secs))?;
        positive("checkpoint_steps", run.checkpoint_steps.map(|n| n as f64))?;
        positive("max_steps", run.max_steps.map(|n| n as f64))?;
        positive("max_secs", run.max_secs)?;
        positive("early_stop.patience", run.early_stop.as_ref().map(|stop| stop.patience as f64))
    }
}

fn table_node(table: Table) -> Node {
    Node { value: Value::Table(table), origin: Origin::Line(1) }
}

fn place_of(source: &str, origin: &Origin) -> String {
    match origin {
        Origin::Line(line) => format!("{source}:{line}"),
        Origin::Option(option) => option.clone(),
    }
}

fn locate(source: &str, arm: Option<String>, fault: &read::Fault, more: &[&str]) -> Error {
    let (key, problem) = fault.explain(more);
    let place =
        fault.origin.as_ref().map_or_else(|| source.to_owned(), |origin| place_of(source, origin));
    Box::new(RecipeError { place, arm, key, problem }).into()
}

/// Lays the quick form and the command line over the recipe.
fn apply(source: &str, root: &mut Table, overrides: &Overrides) -> Result<(), Error> {
    let quick = tree::remove(root, "quick");
    if let Some(Node { value: Value::Table(quick), .. }) = &quick
        && overrides.quick
    {
        tree::merge(root, quick);
    }
    match quick {
        // A resolved recipe only says which form it is.
        Some(node @ Node { value: Value::Boolean(_), .. }) => tree::insert(root, "quick", node),
        Some(Node { value: Value::Table(_), .. }) | None => {}
        Some(node) => return Err(not_a_table(source, "quick", &node)),
    }
    if overrides.quick {
        let origin = Origin::Option("--quick".into());
        tree::insert(root, "quick", Node { value: Value::Boolean(true), origin });
    }
    if let Some(seed) = overrides.seed {
        let origin = Origin::Option(format!("--seed {seed}"));
        let seed = i64::try_from(seed)
            .map_err(|_| RecipeError {
                place: format!("--seed {seed}"),
                arm: None,
                key: "seed".into(),
                problem: format!("expected a whole number of at most {}", i64::MAX),
            })
            .map_err(Box::new)?;
        tree::insert(root, "seed", Node { value: Value::Integer(seed), origin });
    }
    if let Some(device) = overrides.device {
        let origin = Origin::Option(format!("--device {device}"));
        tree::insert(root, "device", Node { value: Value::Text(device.to_string()), origin });
    }
    overrides.set.iter().try_for_each(|setting| apply_setting(root, setting))
}

fn apply_setting(root: &mut Table, setting: &str) -> Result<(), Error> {
    let reject = |key: &str, problem: String| {
        Error::from(Box::new(RecipeError {
            place: format!("--set {setting}"),
            arm: None,
            key: key.into(),
            problem,
        }))
    };
    let (key, text) = setting
        .split_once('=')
        .map(|(key, text)| (key.trim(), text.trim()))
        .filter(|(key, _)| !key.is_empty() && key.split('.').all(|part| !part.is_empty()))
        .ok_or_else(|| reject("", "expected KEY=VALUE, such as `method.rho=0.1`".into()))?;
    if key == "quick" {
        return Err(reject(key, "the quick form is chosen by the option --quick".into()));
    }
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    check_arms_listen(root, &path, key).map_err(|problem| reject(key, problem))?;
    let node = tree::parse_setting(text, &Origin::Option(format!("--set {setting}")));
    tree::set(root, &path, node).map_err(|part| {
        reject(key, format!("`{part}` is neither a table nor a list with that item"))
    })
}

/// A shared setting that every arm overrides would do nothing, and an arm that is not there is a slip.
fn check_arms_listen(root: &Table, path: &[String], key: &str) -> Result<(), String> {
    let Some(Node { value: Value::Table(arms), .. }) = tree::get(root, "arms") else {
        return Ok(());
    };
    if path[0] == "arms" {
        let known = path.get(1).is_none_or(|name| tree::get(arms, name).is_some());
        let name = path.get(1).map_or("", String::as_str);
        return if known {
            Ok(())
        } else {
            Err(format!(
                "there is no arm `{name}`{}",
                suggest::hint(name, arms.iter().map(|(name, _)| name.as_str()))
            ))
        };
    }
    let overrides = |arm: &Node| path.iter().try_fold(arm, |node, key| node.child(key)).is_some();
    if !arms.is_empty() && arms.iter().all(|(_, arm)| overrides(arm)) {
        let settings: Vec<String> =
            arms.iter().map(|(name, _)| format!("arms.{name}.{key}")).collect();
        return Err(format!("every arm sets this itself; set {}", settings.join(" or ")));
    }
    Ok(())
}

fn take_arms(source: &str, root: &mut Table) -> Result<Vec<(String, Table)>, Error> {
    let Some(node) = tree::remove(root, "arms") else {
        return Ok(vec![(String::new(), Table::new())]);
    };
    let Value::Table(arms) = node.value else {
        return Err(not_a_table(source, "arms", &node));
    };
    let mut taken = Vec::new();
    for (name, arm) in arms {
        let key = format!("arms.{name}");
        if name.is_empty() || name.contains(|c: char| !c.is_alphanumeric() && !"_-".contains(c)) {
            let problem = "the name of an arm has letters, digits, _ and - only".into();
            return Err(Box::new(RecipeError {
                place: place_of(source, &arm.origin),
                arm: None,
                key,
                problem,
            })
            .into());
        }
        let Value::Table(table) = arm.value else {
            return Err(not_a_table(source, &key, &arm));
        };
        if let Some((head, node)) = table.iter().find(|(key, _)| HEAD_KEYS.contains(&key.as_str()))
        {
            let problem =
                format!("`{head}` is the same for all arms; set it at the top of the recipe");
            return Err(Box::new(RecipeError {
                place: place_of(source, &node.origin),
                arm: None,
                key,
                problem,
            })
            .into());
        }
        taken.push((name, table));
    }
    if taken.is_empty() {
        taken.push((String::new(), Table::new()));
    }
    Ok(taken)
}

/// The arm that an error names: none for the only arm, which has no name.
fn arm_of(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

fn not_a_table(source: &str, key: &str, node: &Node) -> Error {
    let problem = format!("expected a table, found {}", node.value);
    Box::new(RecipeError {
        place: place_of(source, &node.origin),
        arm: None,
        key: key.into(),
        problem,
    })
    .into()
}

#[cfg(test)]
mod tests;
