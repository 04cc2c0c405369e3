//! Tests of explanations: every kind and every field of a document has one.

use std::collections::BTreeSet;

use super::find;
use crate::cli::client::{kind, schema};

#[test]
fn every_kind_and_field_is_explained_from_the_contract() {
    for kind in &kind::ALL {
        let explained = find(kind.plural).unwrap();
        assert!(!explained.comment.is_empty(), "{}", kind.name);
        assert!(explained.message.unwrap().fields().count() > 1);
    }
    let bindings = find("gateway.spec.bindings").unwrap();
    assert_eq!(bindings.type_name, "list of Binding");
    let sampling = find("server.relay.sampling").unwrap();
    assert_eq!(sampling.path, "server.spec.relay.sampling");
    assert!(sampling.comment.contains("sampling") || sampling.comment.contains("Sampling"));
    let prefix = find("gw.prefix").unwrap();
    let values: BTreeSet<_> = prefix
        .values
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(values.contains("PREFIX_MODE_ALWAYS"), "{values:?}");
    assert!(prefix.values.iter().all(|(_, comment)| !comment.is_empty()));
    let shapes = find("gateway.spec.bindings.shapes.fixed").unwrap();
    assert_eq!(shapes.type_name, "map of string");
    let timeout = find("gateway.spec.bindings.timeout").unwrap();
    assert!(timeout.type_name.starts_with("duration"));
    let message = schema::message("CredentialSpec").unwrap();
    assert!(
        schema::comment_of_field(&message.get_field_by_name("hosts").unwrap()).contains("Origins")
    );
}

#[test]
fn an_unknown_field_is_answered_with_the_one_that_was_meant() {
    let fault = find("gateway.spec.bindngs")
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(fault.contains("did you mean `bindings`?"), "{fault}");
    let fault = find("server.spec.url.x").map(drop).unwrap_err().to_string();
    assert!(fault.contains("has no field `x`"), "{fault}");
    assert!(find("nonsense").is_err());
}
