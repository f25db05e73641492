//! `list`, `show`, `cite`: what there is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use lisse::run::recipe::{Overrides, Recipe};
use lisse::run::{Method, Registry, RunFolder};
use serde_json::json;

use crate::output::{Failure, print, print_json};

/// Methods by field.
pub fn list(registry: &Registry, json: bool) -> Result<(), Failure> {
    if json {
        let brief = |m: &Method| {
            json!({
                "slug": m.slug, "title": m.title, "paper": m.paper, "arxiv": m.arxiv,
                "field": m.field, "summary": m.summary, "recipes": m.recipes,
            })
        };
        return print_json(&registry.methods().iter().map(brief).collect::<Vec<_>>());
    }
    let mut fields: BTreeMap<&str, Vec<&Method>> = BTreeMap::new();
    for method in registry.methods() {
        fields.entry(method.field).or_default().push(method);
    }
    let mut text = String::new();
    for (field, methods) in fields {
        let _ = writeln!(text, "{field}");
        for m in methods {
            let arxiv = m.arxiv.map(|id| format!(", arXiv {id}")).unwrap_or_default();
            let _ = writeln!(text, "  {:<18} {}", m.slug, m.summary);
            let _ = writeln!(text, "  {:<18} {} ({}{arxiv})", "", m.paper, m.year);
        }
        text.push('\n');
    }
    let _ = writeln!(text, "recipes");
    for recipe in registry.recipes() {
        let _ = writeln!(text, "  {:<18} {}", recipe.name, recipe.title);
    }
    print(&text)
}

/// One method, or a recipe's text.
pub fn show(registry: &Registry, name: &str, json: bool) -> Result<(), Failure> {
    if let Ok(recipe) = registry.recipe(name) {
        return if json { print_json(recipe) } else { print(recipe.text) };
    }
    let Ok(method) = registry.method(name) else {
        return Err(unknown(registry, "method or recipe", name));
    };
    if json {
        return print_json(method);
    }
    let mut text = format!("{} ({})\n\n{}.\n\n", method.title, method.slug, method.summary);
    let _ = writeln!(text, "paper    {}, {} ({})", method.paper, method.authors, method.year);
    if let Some(id) = method.arxiv {
        let _ = writeln!(text, "arXiv    {id}");
    }
    let _ = writeln!(text, "field    {}", method.field);
    let _ = writeln!(text, "recipes  {}", method.recipes.join(", "));
    print(&text)
}

/// BibTeX of what `name` stands for: a run's folder, a recipe or its file, or a method.
pub fn cite(registry: &Registry, name: &str) -> Result<(), Failure> {
    let path = Path::new(name);
    let slugs: Vec<String> = if path.join("recipe.toml").is_file() {
        let text = RunFolder::open(path)?.recipe_text()?;
        recipe_methods(name, &text)?
    } else if path.is_file() {
        Recipe::read(path, &Overrides::default())?.head().methods.clone()
    } else if let Ok(recipe) = registry.recipe(name) {
        recipe_methods(name, recipe.text)?
    } else if registry.method(name).is_ok() {
        vec![name.to_string()]
    } else {
        return Err(unknown(registry, "method, recipe or run folder", name));
    };
    let mut text = String::new();
    for slug in slugs {
        let _ = writeln!(text, "{}\n", registry.method(&slug)?.bibtex);
    }
    print(text.trim_end_matches('\n')).and_then(|()| print("\n"))
}

fn recipe_methods(name: &str, text: &str) -> Result<Vec<String>, Failure> {
    Ok(Recipe::parse(name, name, text, &Overrides::default())?.head().methods.clone())
}

fn unknown(registry: &Registry, what: &str, name: &str) -> Failure {
    let methods = registry.methods().iter().map(|m| m.slug);
    let known = methods.chain(registry.recipes().iter().map(|r| r.name));
    let hint = lisse::data::nearest(name, known)
        .map(|n| format!("did you mean `{n}`? "))
        .unwrap_or_default();
    Failure::usage(format!("no {what} is called `{name}`; {hint}`lisse list` shows all"))
}
