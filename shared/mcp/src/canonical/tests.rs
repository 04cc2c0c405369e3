//! Tests of the canonical form.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn of(text: &str) -> String {
    canonical(text.as_bytes(), &FrameLimits::SERVER_MESSAGE).unwrap()
}

#[test]
fn the_canonical_form_ignores_order_space_and_escapes_only() {
    let a = r#"{ "b" : [ 1, {"y":"\u0041","x":null} ], "\u0061": "\/" }"#;
    assert_eq!(of(a), r#"{"a":"/","b":[1,{"x":null,"y":"A"}]}"#);
    assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":1.0}"#));
    assert_ne!(
        of(r#"{"a":9007199254740993}"#),
        of(r#"{"a":9007199254740992}"#)
    );
    assert!(canonical(br#"{"a":{"b":1,"b":2}}"#, &FrameLimits::SERVER_MESSAGE).is_err());
    assert!(canonical(b"{} x", &FrameLimits::SERVER_MESSAGE).is_err());
}

fn shuffled(value: &Value, seed: u64) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<String> = map
                .iter()
                .map(|(name, value)| {
                    format!("{}: {}", Value::from(name.as_str()), shuffled(value, seed))
                })
                .collect();
            let turn = usize::try_from(seed).unwrap_or(0) % members.len().max(1);
            members.rotate_left(turn);
            format!("{{ {} }}", members.join(" ,"))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shuffled(item, seed)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from)
    ];
    let tree = leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map(any::<String>(), tree, 0..5)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    #[test]
    fn the_digest_is_stable_under_reordering(value in json(), seed in any::<u64>()) {
        let one = digest(value.to_string().as_bytes(), &FrameLimits::SERVER_MESSAGE).unwrap();
        let other = digest(shuffled(&value, seed).as_bytes(), &FrameLimits::SERVER_MESSAGE).unwrap();
        prop_assert_eq!(one, other);
    }

    #[test]
    fn the_canonical_form_keeps_the_value(value in json()) {
        let text = of(&value.to_string());
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        prop_assert_eq!(of(&text), text);
    }
}
