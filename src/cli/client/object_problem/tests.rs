//! Tests of the problems of objects.

use serde_json::json;

use super::*;

#[test]
fn the_severity_of_a_problem_decides_and_not_its_text() {
    let words = "spec.bindings[0]: server many is not offered as a whole: 10,000 of 12,000 tools";
    let gateway = |severity: &str| {
        let details = json!({
            "text": words, "field": "spec.bindings[0]", "severity": severity, "server": "many",
        });
        json!({ "status": { "problems": [words], "problemDetails": [details] } })
    };
    let warned = gateway("PROBLEM_SEVERITY_WARNING");
    let [warning] = problems(&warned)[..] else {
        panic!("one problem is listed once");
    };
    assert!(warning.is_warning);
    assert_eq!((warning.text, warning.server), (words, "many"));
    assert!(warning.sentence().starts_with("server many is not"));
    assert!(!problems(&gateway("PROBLEM_SEVERITY_ERROR"))[0].is_warning);
}

#[test]
fn a_problem_of_unknown_severity_is_an_error() {
    let text = "server many is not offered as a whole: 10,000 of 12,000 tools";
    for status in [
        json!({ "problems": [text] }),
        json!({ "problems": [text], "problemDetails": [{ "text": text }] }),
        json!({ "problems": [text], "problemDetails": [{ "text": text, "severity": 99 }] }),
    ] {
        let object = json!({ "status": status });
        let found = problems(&object);
        assert!(found.len() == 1 && !found[0].is_warning, "{object}");
        assert_eq!(found[0].sentence(), text);
    }
    assert!(problems(&Value::Null).is_empty());
}
