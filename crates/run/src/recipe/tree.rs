//! A recipe as a tree of values, each of which knows where it came from.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of the recipe, from 1.
    Line(usize),
    /// An option of the command line, as written: `--set method.rho=0.1`.
    Option(String),
}

/// A value with its origin.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Keys and values in the order of the text.
pub(crate) type Table = Vec<(String, Node)>;

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
}

/// Why a text is not TOML: the problem and its byte offset.
pub(crate) struct NotToml {
    pub(crate) problem: String,
    pub(crate) offset: Option<usize>,
}

/// Line of a byte offset, from 1.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.char_indices().take_while(|&(at, _)| at < offset).filter(|&(_, c)| c == '\n').count()
}

/// Reads TOML.
pub(crate) fn parse(text: &str) -> Result<Table, NotToml> {
    let parsed = DeTable::parse(text).map_err(|error| NotToml {
        problem: error.message().into(),
        offset: error.span().map(|span| span.start),
    })?;
    table(text, parsed.into_inner())
}

/// Reads the value of `--set key=value`: TOML, or else the text itself.
pub(crate) fn parse_setting(text: &str, origin: &Origin) -> Node {
    let value = match parse(&format!("x = {text}\n")) {
        Ok(mut table) if table.len() == 1 => table.remove(0).1.value,
        _ => Value::Text(text.into()),
    };
    let mut node = Node { value, origin: origin.clone() };
    node.set_origin(origin);
    node
}

fn table(text: &str, parsed: DeTable<'_>) -> Result<Table, NotToml> {
    let mut entries: Vec<_> = parsed.into_iter().collect();
    // In the order of the text: arms run in the order in which they are written.
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
        .into_iter()
        .map(|(key, value)| {
            // A table's own span can be empty; its key's never is.
            let origin = Origin::Line(line_at(text, key.span().start));
            Ok((key.into_inner().into_owned(), node(text, value, &origin)?))
        })
        .collect()
}

fn node(text: &str, parsed: Spanned<DeValue<'_>>, origin: &Origin) -> Result<Node, NotToml> {
    let start = parsed.span().start;
    let reject = |problem: String| NotToml { problem, offset: Some(start) };
    let value = match parsed.into_inner() {
        DeValue::String(value) => Value::Text(value.into_owned()),
        DeValue::Integer(value) => Value::Integer(
            i64::from_str_radix(value.as_str(), value.radix())
                .map_err(|_| reject(format!("the whole number {value} does not fit in 64 bits")))?,
        ),
        DeValue::Float(value) => Value::Float(
            value
                .as_str()
                .parse()
                .map_err(|_| reject(format!("{} is not a number", value.as_str())))?,
        ),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(_) => {
            return Err(reject("recipes have no dates; write them as a string in quotes".into()));
        }
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item| {
                let origin = Origin::Line(line_at(text, item.span().start));
                node(text, item, &origin)
            });
            Value::List(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(entries) => Value::Table(table(text, entries)?),
    };
    Ok(Node { value, origin: origin.clone() })
}

/// The entry of a key.
pub(crate) fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Node> {
    table.iter().find(|(name, _)| name == key).map(|(_, node)| node)
}

/// Takes an entry out.
pub(crate) fn remove(table: &mut Table, key: &str) -> Option<Node> {
    let at = table.iter().position(|(name, _)| name == key)?;
    Some(table.remove(at).1)
}

/// Puts an entry in, in the place of an old one or at the end.
pub(crate) fn insert(table: &mut Table, key: &str, node: Node) {
    match table.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = node,
        None => table.push((key.to_owned(), node)),
    }
}

/// Lays `over` on `base`: tables are merged key by key, anything else is replaced.
pub(crate) fn merge(base: &mut Table, over: &Table) {
    for (key, node) in over {
        match (base.iter_mut().find(|(name, _)| name == key), &node.value) {
            (Some((_, Node { value: Value::Table(below), .. })), Value::Table(above)) => {
                merge(below, above);
            }
            (Some((_, below)), _) => *below = node.clone(),
            (None, _) => base.push((key.clone(), node.clone())),
        }
    }
}

/// Finds a value by its path.
pub(crate) fn find<'a>(table: &'a Table, path: &[String]) -> Option<&'a Node> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(get(table, first)?, |node, key| node.child(key))
}

/// Puts a value at a path, making tables on the way. The error is the part of the path that is no table or list.
pub(crate) fn set(table: &mut Table, path: &[String], new: Node) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    if rest.is_empty() {
        insert(table, first, new);
        return Ok(());
    }
    if get(table, first).is_none() {
        table.push((
            first.clone(),
            Node { value: Value::Table(Table::new()), origin: new.origin.clone() },
        ));
    }
    let below = table.iter_mut().find(|(name, _)| name == first).map(|(_, node)| node);
    below.map_or(Ok(()), |below| set_below(below, first, rest, new))
}

fn set_below(node: &mut Node, name: &str, rest: &[String], new: Node) -> Result<(), String> {
    match &mut node.value {
        Value::Table(table) => set(table, rest, new).map_err(|part| format!("{name}.{part}")),
        Value::List(items) => {
            let item =
                rest[0].parse::<usize>().ok().and_then(|index| items.get_mut(index)).ok_or(name)?;
            if rest.len() == 1 {
                *item = new;
                return Ok(());
            }
            set_below(item, &rest[0], &rest[1..], new).map_err(|part| format!("{name}.{part}"))
        }
        _ => Err(name.to_owned()),
    }
}

impl Node {
    /// The entry of a table or the item of a list.
    pub(crate) fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(table) => get(table, key),
            Value::List(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// Visits this node and all below it, with their paths.
    pub(crate) fn walk<'a>(
        &'a self,
        path: &mut Vec<String>,
        visit: &mut dyn FnMut(&[String], &'a Node),
    ) {
        visit(path, self);
        let mut below = |key: String, node: &'a Node| {
            path.push(key);
            node.walk(path, visit);
            path.pop();
        };
        match &self.value {
            Value::Table(table) => table.iter().for_each(|(key, node)| below(key.clone(), node)),
            Value::List(items) => {
                items.iter().enumerate().for_each(|(i, node)| below(i.to_string(), node));
            }
            _ => {}
        }
    }

    fn set_origin(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.value {
            Value::Table(table) => table.iter_mut().for_each(|(_, node)| node.set_origin(origin)),
            Value::List(items) => items.iter_mut().for_each(|node| node.set_origin(origin)),
            _ => {}
        }
    }
}

/// As a person would name the value: `the string "big"`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(value) => write!(f, "the string {value:?}"),
            Value::Integer(value) => write!(f, "the number {value}"),
            Value::Float(value) => write!(f, "the number {value}"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::List(_) => f.write_str("a list"),
            Value::Table(_) => f.write_str("a table"),
        }
    }
}
