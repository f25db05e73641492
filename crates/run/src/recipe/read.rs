//! From a tree to a configuration struct, through serde, so that the struct is the schema.
//!
//! A deserializer of our own rather than that of `toml`, because a person who made a slip needs more than serde's sentence: the
//! full key, the line or the option it came from, the nearest valid key, and unknown keys refused without an attribute on every
//! struct.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::tree::{Node, Origin, Value};
use crate::suggest;

/// Why a tree does not fit a type, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Keys from the root to the value, innermost last.
    pub(crate) path: Vec<String>,
    pub(crate) origin: Option<Origin>,
    pub(crate) kind: FaultKind,
}

#[derive(Debug)]
pub(crate) enum FaultKind {
    UnknownKey { key: String, valid: Vec<String> },
    UnknownVariant { found: String, valid: Vec<String> },
    Unfit { found: String, expected: String },
    Missing { key: String },
    Custom(String),
}

/// Reads `node` as a `T`.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(node: &Node) -> Result<T, Fault> {
    T::deserialize(Reader(node)).map_err(|fault| fault.pinned(node))
}

impl Fault {
    fn new(kind: FaultKind) -> Fault {
        Fault { path: Vec::new(), origin: None, kind }
    }

    /// The same fault seen from one level further out.
    fn inside(mut self, key: &str, node: &Node) -> Fault {
        self.path.insert(0, key.to_owned());
        self.at(node)
    }

    fn at(mut self, node: &Node) -> Fault {
        self.origin.get_or_insert_with(|| node.origin.clone());
        self
    }

    /// Finds the culprit below the path. Serde reads tagged enums through a buffer of its own, which forgets where a value was:
    /// if exactly one value or key under the enum is the one it complains of, that is where.
    fn pinned(mut self, root: &Node) -> Fault {
        self = self.at(root);
        let Some(node) = self.path.iter().try_fold(root, |node, key| node.child(key)) else {
            return self;
        };
        let mut matches: Vec<(Vec<String>, &Node)> = Vec::new();
        node.walk(&mut Vec::new(), &mut |path, node| {
            let culprit = match &self.kind {
                FaultKind::Unfit { found, .. } => node.value.to_string() == *found,
                FaultKind::UnknownVariant { found, .. } => {
                    matches!(&node.value, Value::Text(text) if text == found)
                }
                FaultKind::UnknownKey { key, .. } => path.last() == Some(key),
                FaultKind::Missing { .. } | FaultKind::Custom(_) => false,
            };
            if culprit {
                matches.push((path.to_vec(), node));
            }
        });
        if let [(path, node)] = matches.as_slice() {
            self.origin = Some(node.origin.clone());
            self.path.extend(path.iter().cloned());
            if matches!(self.kind, FaultKind::UnknownKey { .. }) {
                self.path.pop();
            }
        }
        self
    }

    /// The full key and the sentence. At the root, `more` are further valid keys.
    pub(crate) fn explain(&self, more: &[&str]) -> (String, String) {
        let mut path = self.path.clone();
        let problem = match &self.kind {
            FaultKind::UnknownKey { key, valid } => {
                let mut valid: Vec<&str> = valid.iter().map(String::as_str).collect();
                if path.is_empty() {
                    valid.extend(more);
                }
                path.push(key.clone());
                format!("there is no such key{}", suggest::hint(key, valid))
            }
            FaultKind::UnknownVariant { found, valid } => {
                format!(
                    "{found:?} is not a valid choice{}",
                    suggest::hint(found, valid.iter().map(String::as_str))
                )
            }
            FaultKind::Unfit { found, expected } => format!("expected {expected}, found {found}"),
            FaultKind::Missing { key } => {
                path.push(key.clone());
                "this key is missing and has no default".into()
            }
            FaultKind::Custom(text) => text.clone(),
        };
        (path.join("."), problem)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, problem) = self.explain(&[]);
        write!(f, "{key}: {problem}")
    }
}

impl std::error::Error for Fault {}

fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(value) => format!("the string {value:?}"),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a table".into(),
        other => other.to_string(),
    }
}

/// Serde's names of types in a person's words.
fn expected(serde: &str) -> String {
    match serde {
        "f64" | "f32" => "a number".into(),
        "u64" | "u32" | "u16" | "u8" | "usize" => "a whole number, 0 or more".into(),
        "i64" | "i32" | "i16" | "i8" | "isize" => "a whole number".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" => "a table".into(),
        _ if serde.starts_with("a nonzero") => "a whole number, 1 or more".into(),
        _ if serde.starts_with("struct ") || serde.contains("tagged enum") => "a table".into(),
        _ => serde.to_owned(),
    }
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault::new(FaultKind::Custom(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Fault::new(FaultKind::Unfit {
            found: found(unexpected),
            expected: expected(&wanted.to_string()),
        })
    }

    fn invalid_value(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Fault::invalid_type(unexpected, wanted)
    }

    fn invalid_length(length: usize, wanted: &dyn Expected) -> Self {
        Fault::new(FaultKind::Custom(format!("expected {wanted}, found {length} items")))
    }

    fn unknown_variant(variant: &str, valid: &'static [&'static str]) -> Self {
        let valid = valid.iter().map(|&name| name.to_owned()).collect();
        Fault::new(FaultKind::UnknownVariant { found: variant.into(), valid })
    }

    fn unknown_field(field: &str, valid: &'static [&'static str]) -> Self {
        let valid = valid.iter().map(|&name| name.to_owned()).collect();
        Fault::new(FaultKind::UnknownKey { key: field.into(), valid })
    }

    fn missing_field(field: &'static str) -> Self {
        Fault::new(FaultKind::Missing { key: field.into() })
    }
}

struct Reader<'a>(&'a Node);

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let node = self.0;
        let value = match &node.value {
            Value::Text(value) => visitor.visit_str(value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter(), index: 0 }),
            Value::Table(table) => {
                visitor.visit_map(Entries { entries: table.iter(), current: None })
            }
        };
        value.map_err(|fault| fault.at(node))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Value::Table(table) = &self.0.value
            && let Some((key, node)) = table.iter().find(|(key, _)| !fields.contains(&key.as_str()))
        {
            return Err(<Fault as de::Error>::unknown_field(key, fields).at(node));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let node = self.0;
        let value = match &node.value {
            Value::Text(name) => visitor.visit_enum(name.as_str().into_deserializer()),
            Value::Table(table) if table.len() == 1 => {
                let (name, content) = &table[0];
                visitor.visit_enum(Variant { name, content })
            }
            other => Err(Fault::new(FaultKind::Unfit {
                found: other.to_string(),
                expected: format!("one of {}", variants.join(", ")),
            })),
        };
        value.map_err(|fault| fault.at(node))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map identifier ignored_any
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, (String, Node)>,
    current: Option<&'a (String, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.next();
        let Some((key, node)) = self.current else { return Ok(None) };
        let key: StrDeserializer<'_, Fault> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.at(node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, node) = self.current.expect("serde asks for a value only after its key");
        seed.deserialize(Reader(node)).map_err(|fault| fault.inside(key, node))
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Reader(node))
            .map(Some)
            .map_err(|fault| fault.inside(&index.to_string(), node))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// A variant written as a table of one key: `schedule = { cosine = { warmup = 10 } }`.
struct Variant<'a> {
    name: &'a str,
    content: &'a Node,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Fault;
    type Variant = VariantContent<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, VariantContent<'a>), Fault> {
        let name: StrDeserializer<'_, Fault> = self.name.into_deserializer();
        let value = seed.deserialize(name).map_err(|fault| fault.at(self.content))?;
        Ok((value, VariantContent(self)))
    }
}

struct VariantContent<'a>(Variant<'a>);

impl<'de> VariantAccess<'de> for VariantContent<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        let expected = format!("the string {:?} alone", self.0.name);
        Err(Fault::new(FaultKind::Unfit { found: "a table".into(), expected }))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let Variant { name, content } = self.0;
        seed.deserialize(Reader(content)).map_err(|fault| fault.inside(name, content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        let Variant { name, content } = self.0;
        Reader(content).deserialize_any(visitor).map_err(|fault| fault.inside(name, content))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Variant { name, content } = self.0;
        Reader(content)
            .deserialize_struct("", fields, visitor)
            .map_err(|fault| fault.inside(name, content))
    }
}
