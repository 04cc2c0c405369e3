//! Tests of the isolation of namespaces.

use super::*;

#[test]
fn a_namespace_is_added_and_stripped() {
    let ours = KeyNamespace::new("/toolgate/").unwrap();
    let key = ours.key("/v1/system/marker");
    assert_eq!(key, b"/toolgate/v1/system/marker");
    assert_eq!(ours.strip(&key).as_deref(), Some("/v1/system/marker"));
    assert_eq!(ours.strip(b"/other/v1/x"), None);
    assert_eq!(
        KeyNamespace::new("").unwrap().strip(b"/v1/x").as_deref(),
        Some("/v1/x")
    );
    assert!(KeyNamespace::new("/a b").is_err());
}

#[test]
fn a_range_covers_exactly_its_prefix() {
    let ours = KeyNamespace::new("/t").unwrap();
    let (start, end) = ours.range("/v1/", None);
    let holds = |key: &str| (start.as_slice()..end.as_slice()).contains(&key.as_bytes());
    assert!(holds("/t/v1/") && holds("/t/v1/zzz"));
    assert!(!holds("/t/v1") && !holds("/t/v10") && !holds("/t/v2"));

    let (start, end) = ours.range("/v1/", Some("/v1/b"));
    let holds = |key: &str| (start.as_slice()..end.as_slice()).contains(&key.as_bytes());
    assert!(!holds("/t/v1/b") && holds("/t/v1/b/c") && holds("/t/v1/c"));
}

#[test]
fn the_empty_prefix_covers_every_key() {
    let bare = KeyNamespace::new("").unwrap();
    assert_eq!(bare.range("", None), (vec![0], vec![0]));
}
