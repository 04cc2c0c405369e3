//! Tests of the headers and query parameters of a credential that is set.

use std::fs;

use super::*;
use crate::cli::output::credential_fields::field_list;

fn valued(place: FieldPlace, name: &str, value: &str) -> ValuedField {
    ValuedField {
        place,
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn written(spec: Value, given: Vec<ValuedField>, replace: bool) -> Value {
    let mut credential = json!({ "spec": spec });
    write_fields(&mut credential, given, replace);
    credential["spec"].take()
}

#[test]
fn a_value_among_the_arguments_is_refused_and_not_repeated() {
    for given in ["X-Key=s3cret", "X-Key: s3cret", "X-Key=", "X-Key=@"] {
        let Err(error) = GivenField::parse(FieldPlace::Header, given) else {
            panic!("{given}");
        };
        let text = format!("{} {:?}", error.message, error.next_step);
        assert!(text.contains("--header X-Key=@FILE"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert!(GivenField::parse(FieldPlace::Query, "").is_err());
    assert!(GivenField::parse(FieldPlace::Query, "=-").is_err());
    for given in ["api_key", "api_key=-"] {
        let read = GivenField::parse(FieldPlace::Query, given).unwrap();
        assert!(read == GivenField::unread(FieldPlace::Query, "api_key"));
    }
}

#[test]
fn a_pair_is_split_at_the_first_separator() {
    let cases = [
        ("Authorization=Bearer a=b", ("Authorization", "Bearer a=b")),
        ("X-Key: abc:def", ("X-Key", "abc:def")),
    ];
    for (given, (name, value)) in cases {
        let given = vec![GivenField::parse_pair(given).unwrap()];
        let read = read_values(given, "git", "toolgate credential set git").unwrap();
        assert_eq!((&*read[0].name, &*read[0].value), (name, value));
    }
    for invalid in ["novalue", "=x"] {
        assert!(GivenField::parse_pair(invalid).is_err());
    }
}

#[test]
fn values_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "s3cret\n").unwrap();
    let of = |text: &str| GivenField::parse(FieldPlace::Query, text).unwrap();
    let given = of(&format!("api_key=@{}", file.display()));
    let read = read_values(vec![given], "git", "toolgate credential set git").unwrap();
    assert_eq!(read[0].value, "s3cret");
    let pair = GivenField::parse_pair(&format!("X-Api-Key=@{}", file.display())).unwrap();
    let read = read_values(vec![pair], "git", "toolgate credential set git").unwrap();
    assert_eq!(read[0].value, "s3cret");
    fs::write(&file, "\n").unwrap();
    let given = of(&format!("api_key=@{}", file.display()));
    assert!(read_values(vec![given], "git", "toolgate credential set git").is_err());
    assert!(
        read_values(
            vec![of("api_key=@/no/such/file")],
            "git",
            "toolgate credential set git"
        )
        .is_err()
    );
}

#[test]
fn a_credential_of_one_header_stays_one_until_a_second_field_is_added() {
    use FieldPlace::{Header, Query};
    let one = || json!({ "hosts": ["h"], "staticHeader": { "header": "authorization" } });
    assert_eq!(
        written(one(), vec![valued(Header, "X-Key", "1")], false),
        json!({ "hosts": ["h"], "staticHeader": { "header": "X-Key", "value": "1" } })
    );
    assert_eq!(
        written(one(), vec![valued(Query, "api_key", "1")], false),
        json!({ "hosts": ["h"], "requestFields": {
            "headers": [{ "header": "authorization" }],
            "query": [{ "name": "api_key", "value": "1" }],
        } })
    );
    assert_eq!(
        written(one(), vec![valued(Query, "api_key", "1")], true),
        json!({ "hosts": ["h"], "requestFields": {
            "headers": [],
            "query": [{ "name": "api_key", "value": "1" }],
        } })
    );
}

#[test]
fn a_credential_of_several_fields_keeps_its_kind_and_the_fields_that_are_not_given() {
    use FieldPlace::{Header, Query};
    let several = || {
        json!({ "requestFields": {
            "headers": [{ "header": "x-app-id" }, { "header": "x-app-key" }],
            "query": [{ "name": "api_key" }],
        } })
    };
    assert_eq!(
        written(several(), vec![valued(Header, "X-App-Key", "2")], false),
        json!({ "requestFields": {
            "headers": [{ "header": "x-app-id" }, { "header": "X-App-Key", "value": "2" }],
            "query": [{ "name": "api_key" }],
        } })
    );
    let both = vec![
        valued(Header, "x-app-key", "2"),
        valued(Query, "tenant", "7"),
    ];
    assert_eq!(
        written(several(), both, true),
        json!({ "requestFields": {
            "headers": [{ "header": "x-app-key", "value": "2" }],
            "query": [{ "name": "tenant", "value": "7" }],
        } })
    );
    let credential = json!({ "spec": several() });
    assert_eq!(field_list(&credential), "x-app-id,x-app-key,?api_key");
}

#[test]
fn a_value_of_authorization_without_a_scheme_is_pointed_out_and_not_repeated() {
    let warning = |pair: &str| {
        let given = vec![GivenField::parse_pair(pair).unwrap()];
        scheme_warning(&read_values(given, "gh", "command").unwrap())
    };
    for pair in ["Authorization=s3cret", "authorization: s3cret"] {
        let told = warning(pair).unwrap();
        assert!(
            told.contains("`Bearer`") && !told.contains("s3cret"),
            "{told}"
        );
    }
    for pair in [
        "Authorization=Bearer s3cret",
        "Authorization: Basic czpw",
        "X-Api-Key=s3cret",
    ] {
        assert_eq!(warning(pair), None, "{pair}");
    }
}
