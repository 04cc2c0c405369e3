//! Finds the line and column of a field in a document, for faults that the control plane finds.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Part of a field path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PathSegment {
    Member(String),
    Element(usize),
}

/// Returns the line and column of the field at a path such as `spec.bindings[0].server`, or of the nearest field around
/// it.
pub fn find(text: &str, path: &str) -> Option<(u64, u64)> {
    let segments = segments(path)?;
    let mut found = None;
    // An error ends the search with what is known.
    let _read = serde_saphyr::with_deserializer_from_str(text, |yaml| {
        let seed = LocationSeed {
            segments: &segments,
            found: &mut found,
        };
        seed.deserialize(yaml)
    });
    found
}

/// Returns the field that a message of the control plane begins with, such as `spec.url: …`.
pub fn field_of(message: &str) -> Option<&str> {
    let (field, _) = message.split_once(": ")?;
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_.[]-".contains(c);
    let begins = ["spec.", "metadata."]
        .iter()
        .any(|it| field.starts_with(it));
    (begins && field.chars().all(is_path)).then_some(field)
}

/// Splits a path. Names are compared without regard to `_` and case, because the API has them in both forms.
fn segments(path: &str) -> Option<Vec<PathSegment>> {
    let mut segments = Vec::new();
    for part in path.split('.') {
        let (name, elements) = part.split_once('[').unwrap_or((part, ""));
        if !name.is_empty() {
            segments.push(PathSegment::Member(name.to_owned()));
        }
        for element in elements.split('[').filter(|it| !it.is_empty()) {
            let key = element.strip_suffix(']')?;
            segments.push(match key.parse() {
                Ok(index) => PathSegment::Element(index),
                Err(_) => PathSegment::Member(key.to_owned()),
            });
        }
    }
    Some(segments)
}

fn is_same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    plain(one) == plain(other)
}

/// Reads a value, and stores the location of the one at the path.
struct LocationSeed<'a> {
    segments: &'a [PathSegment],
    found: &'a mut Option<(u64, u64)>,
}

impl<'de> DeserializeSeed<'de> for LocationSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        if self.segments.is_empty() {
            let spanned = Spanned::<IgnoredAny>::deserialize(value)?;
            let at = spanned.referenced;
            *self.found = Some((at.line(), at.column()));
            return Ok(());
        }
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LocationSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Some((PathSegment::Member(wanted), rest)) = self.segments.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            if !is_same_name(&key.value, wanted) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            *self.found = Some((key.referenced.line(), key.referenced.column()));
            if rest.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let seed = LocationSeed {
                segments: rest,
                found: self.found,
            };
            map.next_value_seed(seed)?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        let Some((PathSegment::Element(wanted), rest)) = self.segments.split_first() else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        for _before in 0..*wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        let seed = LocationSeed {
            segments: rest,
            found: self.found,
        };
        list.next_element_seed(seed)?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
