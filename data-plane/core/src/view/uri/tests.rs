//! Tests of URIs: prefixes can be removed again and identify one server, and templates match their expansions.

use proptest::prelude::*;

use super::*;

#[test]
fn uris_are_shown_as_documented() {
    for (original, shown) in [
        ("memo:x", "notes+memo:x"),
        ("file:///a/b", "notes+file:///a/b"),
        ("ui://weather/view", "ui://notes/weather/view"),
        ("ui://", "ui://notes/"),
        ("UI://x", "notes+UI://x"),
        ("https://a.example/x", "https://a.example/x"),
        ("HTTP://a.example", "HTTP://a.example"),
        ("httpx://a", "notes+httpx://a"),
        ("test://{id}/data", "notes+test://{id}/data"),
        ("ui://{id}", "ui://notes/{id}"),
        ("other+memo:x", "notes+other+memo:x"),
        ("", "notes+"),
    ] {
        assert_eq!(prefixed("notes", original), shown);
    }
    for bare in ["memo:x", "ui://x", ""] {
        assert_eq!(unprefixed(bare), None, "{bare}");
    }
}

#[test]
fn a_template_matches_its_expansions() {
    let matches =
        |template: &str, uri: &str| UriTemplateMatcher::parse(template).unwrap().matches(uri);
    for (template, uri) in [
        ("test://template/{id}/data", "test://template/7/data"),
        ("test://template/{id}/data", "test://template//data"),
        ("a:{x}", "a:%2F%20\u{e9}"),
        ("a:{x,y}", "a:1,2"),
        ("file://{+path}", "file:///a/b?c#d"),
        ("a:b{?q,r}", "a:b?q=1&r=2"),
        ("a:b{?q}", "a:b"),
        ("a:b{/p*}", "a:b/c/d"),
        ("{+x}b{y}", "1b/b2"),
        ("a:b", "a:b"),
    ] {
        assert!(matches(template, uri), "{template} {uri}");
    }
    for (template, uri) in [
        ("test://template/{id}/data", "test://template/7/8/data"),
        ("test://template/{id}/data", "test://template/7/data/"),
        ("test://template/{id}/data", "xtest://template/7/data"),
        ("a:{x}", "a:1/2"),
        ("a:b", "a:bc"),
        ("a:b", "a:"),
        ("{x}b{y}", "1/b2"),
    ] {
        assert!(!matches(template, uri), "{template} {uri}");
    }
    for odd in ["a:{x", "a:x}", "a:{{x}}", "a:}{", &"{x}".repeat(33)] {
        assert_eq!(UriTemplateMatcher::parse(odd), None, "{odd}");
    }
    assert!(!matches("a:{+x}", &format!("a:{}", "b".repeat(LONG))));
}

const LONG: usize = 2 * 1024;

proptest! {
    #[test]
    fn prefixes_come_off_again(server in "[a-z][a-z0-9-]{0,5}", original in "([a-z+]{0,4}(:|://|\\+))?\\PC{0,20}") {
        let shown = prefixed(&server, &original);
        if is_web_uri(&original) {
            prop_assert_eq!(&*shown, &*original);
        } else {
            let (found, back) = unprefixed(&shown).unwrap();
            prop_assert_eq!(found, &*server);
            prop_assert_eq!(&*back, &*original);
        }
    }

    #[test]
    fn two_servers_never_expose_the_same_uri(original in "(ui://)?\\PC{0,12}", other in "(ui://)?\\PC{0,12}") {
        let web = is_web_uri(&original) || is_web_uri(&other);
        prop_assert!(web || prefixed("a", &original) != prefixed("b", &other));
    }

    #[test]
    fn an_expanded_template_matches(literals in prop::collection::vec("[a-z:/]{0,3}", 1..5), values in prop::collection::vec("[a-z0-9%.]{0,4}", 5)) {
        let template = literals.join("{v}");
        let mut uri = String::new();
        for (at, literal) in literals.iter().enumerate() {
            if at > 0 {
                uri.push_str(&values[at]);
            }
            uri.push_str(literal);
        }
        prop_assert!(UriTemplateMatcher::parse(&template).unwrap().matches(&uri), "{} {}", template, uri);
    }

    #[test]
    fn arbitrary_templates_and_uris_cause_no_panic(template in "[a{}+?/]{0,12}", uri in "\\PC{0,12}") {
        if let Some(pattern) = UriTemplateMatcher::parse(&template) {
            let _any = pattern.matches(&uri);
        }
    }
}
