//! Tests of query parameters that a credential and a URL both have.

use super::*;

fn of_fields(fields: &[(FieldPlace, &str)]) -> CredentialKind {
    let fields = fields.iter().map(|(place, name)| SealedField {
        place: *place,
        name: (*name).to_owned(),
        value: SealedBlob {
            key_id: "k".to_owned(),
            wrapped_key: vec![1],
            ciphertext: vec![2],
        },
    });
    CredentialKind::RequestFields(fields.collect())
}

#[test]
fn a_parameter_that_a_url_has_already_is_found_as_servers_read_it() {
    let kind = of_fields(&[
        (FieldPlace::Header, "tenant"),
        (FieldPlace::Query, "api key"),
    ]);
    for (url, conflict) in [
        ("https://a.example/mcp", None),
        ("https://a.example/mcp?api_key=1", None),
        ("https://a.example/mcp?tenant=1", None),
        ("https://a.example/api%20key?x=api%20key", None),
        ("https://a.example/mcp?x=1&api%20key=2", Some("api key")),
        ("https://a.example/mcp?API+Key", Some("api key")),
    ] {
        assert_eq!(
            kind.query_conflict(&url.parse().unwrap()),
            conflict,
            "{url}"
        );
    }
}
