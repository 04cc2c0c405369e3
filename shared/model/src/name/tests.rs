//! Tests of accepted and rejected ids.

use super::*;

#[test]
fn an_id_may_stand_in_a_path_a_prefix_and_a_key() {
    for good in ["a", "tools", "tools-2", "a--b", &"a".repeat(40)] {
        assert_eq!(good.parse::<Slug>().map(String::from).as_deref(), Ok(good));
    }
}

#[test]
fn whatever_would_need_escaping_is_refused() {
    let long = "a".repeat(41);
    for bad in [
        "",
        "-a",
        "a-",
        "2a",
        "A",
        "a_b",
        "a/b",
        "a.b",
        "ä",
        "a b",
        "a\0",
        long.as_str(),
    ] {
        assert!(bad.parse::<Slug>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_refusal_shows_what_was_given_but_not_without_end() {
    let refusal = "x".repeat(10_000).parse::<Slug>().unwrap_err().to_string();
    assert!(refusal.len() < 250, "{}", refusal.len());
}
