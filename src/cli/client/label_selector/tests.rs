//! Tests of label selectors against the meaning that Kubernetes gives them.

use serde_json::json;

use super::LabelSelector;

fn selected(selector: &str) -> Vec<usize> {
    let objects = [
        json!({ "metadata": { "labels": { "team": "ops", "env": "prod" } } }),
        json!({ "metadata": { "labels": { "team": "web", "env": "test" } } }),
        json!({ "metadata": {} }),
    ];
    let selector = LabelSelector::parse(selector).unwrap();
    let all = objects.iter().enumerate();
    all.filter(|(_, object)| selector.selects(object))
        .map(|(index, _)| index)
        .collect()
}

#[test]
fn selectors_mean_the_same_as_in_kubernetes() {
    for (selector, expected) in [
        ("team=ops", &[0][..]),
        ("team==ops", &[0]),
        ("team!=ops", &[1, 2]),
        ("team in (ops, web)", &[0, 1]),
        ("team notin (ops,web)", &[2]),
        ("team", &[0, 1]),
        ("!team", &[2]),
        ("team in (ops,web),env!=prod", &[1]),
        ("team=", &[]),
    ] {
        assert_eq!(selected(selector), expected, "{selector}");
    }
}

#[test]
fn a_condition_that_is_not_understood_is_refused() {
    for selector in [
        "",
        "team=ops,",
        "team~ops",
        "team > 3",
        "team in ops",
        "team within (a)",
        "team in (a",
        "=ops",
        "a=b=c",
        "team in (a))",
    ] {
        let parsed = LabelSelector::parse(selector);
        assert!(parsed.is_err(), "{selector}: {parsed:?}");
    }
}
