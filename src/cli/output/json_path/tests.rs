//! Tests of JSONPath templates, including the examples of the kubectl documentation.

use serde_json::json;

use super::JsonPathTemplate;

fn filled(template: &str) -> String {
    let list = json!([
        { "metadata": { "name": "a", "labels": { "example.com/team": "ops" } }, "tools": [1, 2] },
        { "metadata": { "name": "b" }, "spec": { "url": "http://b/{x}" } },
    ]);
    JsonPathTemplate::parse(template).unwrap().fill(&list)
}

#[test]
fn templates_give_what_kubectl_gives() {
    for (template, expected) in [
        ("{.items[*].metadata.name}", "a b"),
        ("{[*].metadata.name}", "a b"),
        (".items[0].metadata.name", "a"),
        ("{$.items[-1:].metadata.name}", "b"),
        ("{..name}", "a b"),
        ("{.items[0].tools}", "[1,2]"),
        ("{.items[0].metadata.labels.example\\.com/team}", "ops"),
        (
            "{.items[?(@.metadata.name==\"b\")].spec.url}",
            "http://b/{x}",
        ),
        (
            "{range .items[*]}{.metadata.name}{'\\t'}{.spec.url}{\"\\n\"}{end}",
            "a\t\nb\thttp://b/{x}\n",
        ),
        ("name: {.items[1]['metadata']['name']}!", "name: b!"),
        ("{.items[*].missing}", ""),
    ] {
        assert_eq!(filled(template), expected, "{template}");
    }
}

#[test]
fn a_template_that_is_not_understood_is_refused() {
    for template in [
        "{.a",
        "{range .a}{.b}",
        "{end}",
        "{.a[}",
        "{.a[?(@.b=)]}",
        "{'x}",
    ] {
        let parsed = JsonPathTemplate::parse(template);
        assert!(parsed.is_err(), "{template}: {parsed:?}");
    }
}
