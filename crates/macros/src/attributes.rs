//! The words inside `#[tree(...)]`.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, Field, LitStr, Path, Result};

/// What is said of one field.
#[derive(Default)]
pub struct FieldOptions {
    pub skip: bool,
    pub buffer: bool,
    pub flatten: bool,
    pub rename: Option<LitStr>,
}

impl FieldOptions {
    pub fn read(field: &Field) -> Result<Self> {
        let mut options = Self::default();
        read(&field.attrs, |meta| {
            if meta.path.is_ident("skip") {
                options.skip = true;
            } else if meta.path.is_ident("buffer") {
                options.buffer = true;
            } else if meta.path.is_ident("flatten") {
                options.flatten = true;
            } else if meta.path.is_ident("rename") {
                options.rename = Some(segment(meta)?);
            } else {
                return Err(unknown(
                    meta,
                    "a field takes `skip`, `buffer`, `rename = \"...\"` or `flatten`",
                ));
            }
            Ok(())
        })?;
        options.check(field)?;
        Ok(options)
    }

    fn check(&self, field: &Field) -> Result<()> {
        let clash = if self.skip && (self.buffer || self.flatten || self.rename.is_some()) {
            "`skip` leaves the field out, so nothing else can be said of it"
        } else if self.flatten && (self.buffer || self.rename.is_some()) {
            "`flatten` leaves out the field's path segment, so it can be neither renamed nor marked as a buffer"
        } else {
            return Ok(());
        };
        Err(Error::new_spanned(field, clash))
    }
}

/// The `crate = "..."` of a type.
pub fn crate_path(attributes: &[Attribute]) -> Result<Option<Path>> {
    let mut path = None;
    read(attributes, |meta| {
        if !meta.path.is_ident("crate") {
            return Err(unknown(
                meta,
                "a type takes `crate = \"...\"`; the other words belong on fields",
            ));
        }
        path = Some(meta.value()?.parse::<LitStr>()?.parse()?);
        Ok(())
    })?;
    Ok(path)
}

/// Refuses `#[tree(...)]` where it means nothing.
pub fn refuse(attributes: &[Attribute], place: &str) -> Result<()> {
    match attributes.iter().find(|a| a.path().is_ident("tree")) {
        Some(found) => Err(Error::new_spanned(
            found,
            format!("`#[tree(...)]` says nothing about {place}; put it on a field"),
        )),
        None => Ok(()),
    }
}

fn read(
    attributes: &[Attribute],
    mut word: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|a| a.path().is_ident("tree")) {
        attribute.parse_nested_meta(|meta| word(&meta))?;
    }
    Ok(())
}

fn segment(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let name: LitStr = meta.value()?.parse()?;
    if name.value().is_empty() || name.value().contains('.') {
        return Err(Error::new_spanned(name, "a path segment must not be empty or contain a dot"));
    }
    Ok(name)
}

fn unknown(meta: &ParseNestedMeta<'_>, expected: &str) -> Error {
    let word =
        meta.path.get_ident().map_or_else(|| "this".to_string(), |ident| format!("`{ident}`"));
    meta.error(format!("`#[tree(...)]` does not know {word}: {expected}"))
}
