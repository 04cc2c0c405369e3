//! Tests of update masks on messages.

use toolgate_model::Gateway;
use toolgate_proto::admin::v1 as pb;

use super::*;

fn gateway(description: &str, instructions: &str, label: &str) -> pb::Gateway {
    pb::Gateway {
        metadata: Some(pb::Metadata {
            name: "organizations/acme/gateways/tools".into(),
            labels: [("team".to_owned(), label.to_owned())].into(),
            display_name: label.into(),
            ..Default::default()
        }),
        spec: Some(pb::GatewaySpec {
            description: description.into(),
            instructions: instructions.into(),
            ..Default::default()
        }),
        status: None,
    }
}

fn merged(paths: &[&str]) -> pb::Gateway {
    let mask = FieldMask {
        paths: paths.iter().map(ToString::to_string).collect(),
    };
    let (stored, given) = (gateway("old", "old", "old"), gateway("new", "", "new"));
    apply::<Gateway>(&stored, &given, Some(&mask)).unwrap()
}

#[test]
fn without_a_mask_spec_labels_and_display_name_are_replaced() {
    assert_eq!(merged(&[]), gateway("new", "", "new"));
    assert_eq!(merged(&["*"]), gateway("new", "", "new"));
}

#[test]
fn a_mask_path_replaces_its_field_and_an_empty_value_clears_it() {
    let one = merged(&["spec.instructions"]);
    assert_eq!(one, gateway("old", "", "old"));
    let labels = merged(&["metadata.labels", "metadata.display_name"]);
    assert_eq!(labels, gateway("old", "old", "new"));
}

#[test]
fn an_absent_message_clears_only_the_masked_fields() {
    let mask = FieldMask {
        paths: vec!["spec.description".into()],
    };
    let given = pb::Gateway::default();
    let merged = apply::<Gateway>(&gateway("old", "old", "old"), &given, Some(&mask)).unwrap();
    assert_eq!(merged, gateway("", "old", "old"));
}

#[test]
fn mask_paths_into_lists_and_maps_are_rejected() {
    for path in [
        "spec.bindings.server",
        "metadata.labels.team",
        "status.path",
        "metadata",
    ] {
        let mask = FieldMask {
            paths: vec![path.into()],
        };
        let stored = gateway("old", "old", "old");
        assert!(
            apply::<Gateway>(&stored, &stored, Some(&mask)).is_err(),
            "{path}"
        );
    }
}
