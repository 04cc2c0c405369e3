//! Tests of accepted and rejected ids.

use super::*;

#[test]
fn an_id_is_valid_in_a_path_a_prefix_and_a_key() {
    for good in ["a", "tools", "tools-2", "a--b", &"a".repeat(40)] {
        assert_eq!(good.parse::<Slug>().map(String::from).as_deref(), Ok(good));
    }
}

#[test]
fn ids_that_would_need_escaping_are_rejected() {
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
fn an_error_shows_the_rejected_text_shortened() {
    let refusal = "x".repeat(10_000).parse::<Slug>().unwrap_err().to_string();
    assert!(refusal.len() < 250, "{}", refusal.len());
}
