//! Tests of shaped definitions and arguments, compared with a model on parsed values.

use std::collections::BTreeMap;

use proptest::{collection, option, prelude::*, sample};
use serde_json::{Map, Value, json};

use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d é", "e\"f"];

fn shape() -> impl Strategy<Value = ToolShape> {
    let fixed = collection::btree_map(sample::select(&NAMES[..3]), 0..100u32, 0..3);
    let hidden = sample::subsequence(&NAMES[3..], 0..=2);
    let description = option::of("\\PC{0,12}");
    (description, fixed, hidden).prop_map(|(description, fixed, hidden)| ToolShape {
        description,
        fixed: fixed
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .collect(),
        hidden: hidden.into_iter().map(str::to_owned).collect(),
    })
}

fn object_of(names: Vec<&str>) -> Value {
    names
        .into_iter()
        .map(|name| (name.to_owned(), json!({"type": "number"})))
        .collect::<Map<_, _>>()
        .into()
}

fn input() -> impl Strategy<Value = Value> {
    let some = || sample::subsequence(&NAMES[..], 0..=5);
    (some(), option::of(some()), option::of(some())).prop_map(|(all, required, any)| {
        let mut schema = json!({"type": "object", "properties": object_of(all), "x": 1.50});
        if let Some(required) = required {
            schema["required"] = json!(required);
        }
        if let Some(any) = any {
            schema["anyOf"] = json!([true, {"properties": object_of(any)}]);
        }
        schema
    })
}

/// Reference model on parsed values.
fn model(schema: &mut Value, shape: &ToolShape) {
    let gone: Vec<&str> = reserved_names(shape).collect();
    let drop_from = |properties: &mut Value| {
        let members = properties.as_object_mut().unwrap();
        members.retain(|name, _| !gone.contains(&name.as_str()));
    };
    drop_from(&mut schema["properties"]);
    if let Some(other) = schema.pointer_mut("/anyOf/1/properties") {
        drop_from(other);
    }
    if let Some(required) = schema.get_mut("required") {
        let items = required.as_array_mut().unwrap();
        items.retain(|item| !gone.contains(&item.as_str().unwrap()));
        if items.is_empty() && !gone.is_empty() {
            schema.as_object_mut().unwrap().remove("required");
        }
    }
}

proptest! {
    #[test]
    fn a_shaped_definition_equals_a_parsed_reference_model(
        shape in shape(), input in input(), described in any::<bool>(),
    ) {
        let mut definition = json!({"name": "t", "inputSchema": input, "x-unknown": [1, 2.50]});
        if described {
            definition["description"] = json!("theirs");
        }
        let text = definition.to_string();
        let shown: Value = serde_json::from_str(&super::exposed_definition(&shape, &text).unwrap()).unwrap();
        model(&mut definition["inputSchema"], &shape);
        if let Some(description) = &shape.description {
            definition["description"] = json!(description);
        }
        prop_assert_eq!(shown, definition);
    }

    #[test]
    fn callers_cannot_set_shaped_arguments_and_servers_get_every_fixed_one(
        shape in shape(), given in sample::subsequence(&NAMES[..], 0..=5),
    ) {
        let arguments = object_of(given.clone());
        let text = arguments.to_string();
        let own = ReservedArguments::new(&shape, r#"{"name":"t","inputSchema":{}}"#).unwrap();
        let Some(own) = own else {
            prop_assert!(shape.fixed.is_empty() && shape.hidden.is_empty());
            return Ok(());
        };
        let allowed = own.check(text.as_bytes()).is_ok();
        prop_assert_eq!(allowed, !given.iter().any(|name| reserved_names(&shape).any(|it| it == *name)));
        let mut wanted = arguments;
        for (name, json) in &shape.fixed {
            wanted[name] = serde_json::from_str(json).unwrap();
        }
        match own.merged(text.as_bytes()) {
            None => prop_assert!(shape.fixed.is_empty()),
            Some(merged) => {
                prop_assert_eq!(serde_json::from_slice::<Value>(&merged).unwrap(), wanted);
            }
        }
    }
}

#[test]
fn unreadable_arguments_are_rejected_and_escapes_hide_nothing() {
    let shape = ToolShape {
        fixed: BTreeMap::from([("path".to_owned(), " \"/srv\"\n".to_owned())]),
        ..ToolShape::default()
    };
    let own = ReservedArguments::new(&shape, "{}").unwrap().unwrap();
    for bad in [
        r#"{"path":1}"#,
        r#"{"p\u0061th":1}"#,
        r#"{"x":1,"x":2}"#,
        r#"{"x":1"#,
    ] {
        assert!(own.check(bad.as_bytes()).is_err(), "{bad}");
    }
    assert_eq!(own.check(b" { } "), Ok(()));
    assert_eq!(own.merged(b" { } ").unwrap(), br#"{"path":"/srv"}"#);
}

#[test]
fn a_fixed_value_that_is_not_json_removes_the_tool() {
    for bad in ["", "{", "1,\"b\":2", "tru"] {
        let shape = ToolShape {
            fixed: BTreeMap::from([("a".to_owned(), bad.to_owned())]),
            ..ToolShape::default()
        };
        assert!(ReservedArguments::new(&shape, "{}").is_err(), "{bad}");
    }
}

#[test]
fn look_alikes_of_reserved_arguments_are_neither_shown_nor_accepted() {
    let shape = ToolShape {
        fixed: BTreeMap::from([("Stra\u{df}e".to_owned(), "1".to_owned())]),
        hidden: vec!["debug".to_owned()],
        ..ToolShape::default()
    };
    let definition = json!({"name": "t", "inputSchema": {
        "properties": object_of(vec!["debug", "Debug", "d\u{435}bug", "STRA\u{df}E", "rest", "de_bug"]),
        "required": ["Debug", "rest"],
    }});
    let shown = exposed_definition(&shape, &definition.to_string()).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["inputSchema"],
        json!({"properties": object_of(vec!["rest", "de_bug"]), "required": ["rest"]})
    );
    let own = ReservedArguments::new(&shape, &definition.to_string());
    let own = own.unwrap().unwrap();
    for bad in [
        "debug",
        "Debug",
        "dEBUG",
        "STRASSE",
        "stra\u{df}e",
        // Letters of other scripts, compatibility forms, and invisible characters.
        "d\u{435}bug",
        "D\u{415}BUG",
        "\u{ff44}\u{ff45}\u{ff42}\u{ff55}\u{ff47}",
        "\u{1d41d}\u{1d41e}\u{1d41b}\u{1d42e}\u{1d420}",
        "de\u{200b}bug",
        "debug\u{ad}",
        "\u{3164}debug",
        "de\u{1d159}bug",
    ] {
        assert!(
            own.check(json!({ bad: 1 }).to_string().as_bytes()).is_err(),
            "{bad}"
        );
    }
    for good in ["debugs", "de_bug", "street"] {
        assert_eq!(
            own.check(json!({ good: 1 }).to_string().as_bytes()),
            Ok(()),
            "{good}"
        );
    }
}

#[test]
fn another_spelling_of_a_reserved_argument_is_rejected_unless_the_tool_declares_it() {
    let shape = ToolShape {
        fixed: BTreeMap::from([("tenant_id".to_owned(), "1".to_owned())]),
        hidden: vec!["dryRun".to_owned()],
        ..ToolShape::default()
    };
    let refused = |definition: &Value, name: &str| {
        let own = ReservedArguments::new(&shape, &definition.to_string());
        let given = json!({ name: 1 }).to_string();
        own.unwrap().unwrap().check(given.as_bytes()).err()
    };
    let plain = json!({"name": "t", "inputSchema": {"properties": object_of(vec!["tenant_id", "dryRun", "path"])}});
    let spellings = [
        "tenantId",
        "tenant-id",
        "TenantID",
        "TenantId",
        "tenant.id",
        "tenant id",
        "TENANT_ID",
        "tenantid",
        "_tenant_id",
        "tenant__id",
        "t\u{435}nantId",
        "dry_run",
        "dry-run",
        "DryRun",
        "DRY_RUN",
    ];
    for name in spellings {
        let text = refused(&plain, name).unwrap();
        assert!(
            text.ends_with("cannot be set by callers: leave it out"),
            "{text}"
        );
    }
    let text = refused(&plain, "tenantId").unwrap();
    assert!(
        text.contains("`tenantId` is another spelling of `tenant_id`"),
        "{text}"
    );
    for name in [
        "tenant",
        "id",
        "tenants_id",
        "tenant_id2",
        "run_dry",
        "_",
        "path",
    ] {
        assert_eq!(refused(&plain, name), None, "{name}");
    }
    // An argument of the tool is one of its own, also in a subschema for the same object.
    for other in [
        json!({"properties": object_of(vec!["tenant_id", "tenantId"])}),
        json!({"properties": object_of(vec!["tenant_id"]), "allOf": [{"properties": {"tenantId": {}}}]}),
    ] {
        let definition = json!({"name": "t", "inputSchema": other});
        assert_eq!(refused(&definition, "tenantId"), None);
        assert!(refused(&definition, "tenant-id").is_some());
        assert!(refused(&definition, "tenant_id").is_some());
    }
}
