//! Deserializes the `spec` of a document field by field, so that errors keep their location, and so that values can be
//! written as flags and tables have them: `prefix: always` for `PREFIX_MODE_ALWAYS`, `fixed: {region: eu}` for
//! `fixed: {region: '"eu"'}`.

use std::fmt;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind as ProtoKind, MessageDescriptor};
use serde::{
    Deserialize as _,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::cli::client::schema;

/// Field whose values are JSON in a string.
const JSON_TEXT_FIELD: &str = "toolgate.admin.v1.Shape.fixed";

/// Deserializes a document and returns its `spec` as proto JSON, if it has one.
pub struct SpecSeed(pub MessageDescriptor);

impl<'de> DeserializeSeed<'de> for SpecSeed {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Self::Value, D::Error> {
        document.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for SpecSeed {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut spec = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "spec" {
                let value = map.next_value_seed(MessageSeed(self.0.clone()))?;
                let message = self.0.clone();
                let value = match value.is_null() {
                    true => Value::Object(Map::new()),
                    false => value,
                };
                let message = schema::from_json(message, &value).map_err(Error::custom)?;
                spec = Some(schema::to_json(&message).map_err(Error::custom)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(spec)
    }
}

/// Message of the contract.
#[derive(Clone)]
struct MessageSeed(MessageDescriptor);

impl<'de> DeserializeSeed<'de> for MessageSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fields of {}", self.0.name())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Value, M::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let field = self.0.get_field_by_json_name(&name);
            let Some(field) = field.or_else(|| self.0.get_field_by_name(&name)) else {
                return Err(M::Error::custom(format!(
                    "unrecognized field name '{name}'"
                )));
            };
            let json_name = field.json_name().to_owned();
            let value = map.next_value_seed(FieldSeed(field))?;
            if !value.is_null() {
                members.insert(json_name, value);
            }
        }
        Ok(Value::Object(members))
    }
}

/// Value of a field: a list, a map, or a single value.
struct FieldSeed(FieldDescriptor);

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        match self.0.is_list() || self.0.is_map() {
            true => value.deserialize_any(self),
            false => SingleSeed(self.0).deserialize(value),
        }
    }
}

impl<'de> Visitor<'de> for FieldSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_list() { "a list" } else { "a map" })
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Value, S::Error> {
        if !self.0.is_list() {
            return Err(S::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(SingleSeed(self.0.clone()))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Value, M::Error> {
        if !self.0.is_map() {
            return Err(M::Error::invalid_type(serde::de::Unexpected::Map, &self));
        }
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(SingleSeed(self.0.clone()))?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

/// Single value of a field, or one of its elements.
struct SingleSeed(FieldDescriptor);

impl SingleSeed {
    /// Returns the kind of the value; for maps, that of the values.
    fn kind(&self) -> ProtoKind {
        let kind = self.0.kind();
        match kind.as_message() {
            Some(entry) if self.0.is_map() => entry.map_entry_value_field().kind(),
            Some(_) | None => kind,
        }
    }

    /// Lets the contract check a value.
    fn checked<E: Error>(&self, value: Value) -> Result<Value, E> {
        let whole = match (self.0.is_list(), self.0.is_map()) {
            (true, _) => Value::Array(vec![value.clone()]),
            (_, true) => Value::Object(Map::from_iter([("0".to_owned(), value.clone())])),
            (false, false) => value.clone(),
        };
        let members = Map::from_iter([(self.0.json_name().to_owned(), whole)]);
        let message = self.0.parent_message().clone();
        let parsed = message.deserialize(Value::Object(members));
        parsed.map(|_| value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for SingleSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        if self.0.full_name() == JSON_TEXT_FIELD {
            return Ok(Value::String(json_text(&Value::deserialize(value)?)));
        }
        let kind = self.kind();
        let own = kind
            .as_message()
            .filter(|it| it.package_name() == schema::PACKAGE);
        if let Some(message) = own {
            return MessageSeed(message.clone()).deserialize(value);
        }
        if kind == ProtoKind::Bool {
            return Ok(Option::<bool>::deserialize(value)?.map_or(Value::Null, Value::Bool));
        }
        // A message of another package is a duration or a timestamp.
        let is_text = kind == ProtoKind::String || kind.as_message().is_some();
        if !is_text && kind.as_enum().is_none() {
            let value = Value::deserialize(value)?;
            return self.checked(value);
        }
        let text = Option::<String>::deserialize(value)?;
        self.checked(match (text, kind.as_enum()) {
            (None, _) => Value::Null,
            (Some(text), Some(kind)) => enum_value(kind, text),
            (Some(text), None) => Value::String(text),
        })
    }
}

/// Returns the name of the enum value that a text stands for: its name, its name without the prefix of the enum in any
/// case, as in `always`, or its number. Other texts are returned unchanged.
fn enum_value(kind: &EnumDescriptor, text: String) -> Value {
    let unspecified = kind.default_value().name().to_owned();
    let prefix = unspecified.trim_end_matches("UNSPECIFIED");
    let word = text.replace(['-', ' '], "_").to_ascii_uppercase();
    let named = kind.values().find(|value| {
        value.name() == text || value.name().strip_prefix(prefix) == Some(word.as_str())
    });
    match (named, text.parse::<i32>()) {
        (Some(value), _) => Value::String(value.name().to_owned()),
        (None, Ok(number)) => Value::from(number),
        (None, Err(_)) => Value::String(text),
    }
}

/// Returns the JSON text of a value. A string that is JSON already is kept.
fn json_text(value: &Value) -> String {
    let is_json = |text: &&str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    match value.as_str().filter(is_json) {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}
