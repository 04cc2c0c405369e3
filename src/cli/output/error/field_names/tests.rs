//! Tests of the names of fields.

use super::{in_documents, renamed, with_flag};

#[test]
fn fields_are_named_as_documents_have_them() {
    for (field, shown) in [
        ("spec.timeouts.first_byte", "spec.timeouts.firstByte"),
        (
            "spec.request_fields.query[0].value",
            "spec.requestFields.query[0].value",
        ),
        ("spec.url", "spec.url"),
        ("metadata.labels[my_team]", "metadata.labels[my_team]"),
        ("server_id", "server_id"),
    ] {
        assert_eq!(in_documents(field), shown);
    }
    let line = renamed(
        "spec.expire_time: lies in the past",
        "spec.expire_time",
        "spec.expireTime",
    );
    assert_eq!(line, "spec.expireTime: lies in the past");
}

#[test]
fn flags_take_the_place_of_the_fields_that_they_set() {
    let flags = [
        ("spec.bindings.tools", "--tools"),
        ("spec.bindings", "--server"),
        ("spec.url", "--url"),
    ];
    let line = |text| with_flag(text, &flags);
    assert_eq!(
        line("spec.url: is no URL").as_deref(),
        Some("--url: is no URL")
    );
    let bound = line("spec.bindings[2].server: there is no server git");
    assert_eq!(bound.as_deref(), Some("--server: there is no server git"));
    let tools = line("spec.bindings[0].tools[3]: is empty");
    assert_eq!(tools.as_deref(), Some("--tools: is empty"));
    assert_eq!(line("spec.urls: is no URL"), None);
    assert_eq!(line("there is no server"), None);
}
