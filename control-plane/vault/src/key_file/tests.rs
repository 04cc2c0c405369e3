//! Tests that the key file is private, stable, and never replaced without an error.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

#[test]
fn a_fresh_file_is_private_and_opens_again_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let first = KeyEncryptionKeys::open_or_create(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let again = KeyEncryptionKeys::open_or_create(&path).unwrap();
    assert_eq!(first.newest(), again.newest());
}

#[test]
fn a_file_readable_by_other_users_is_rejected_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    KeyEncryptionKeys::open_or_create(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = KeyEncryptionKeys::open_or_create(&path)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn a_damaged_file_is_named_by_line_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let good = "a".repeat(64);
    for (text, line) in [
        ("nonsense\n".to_owned(), "line 1"),
        (format!("k1 {good}\nk2 {}\n", "z".repeat(64)), "line 2"),
        (format!("k1 {}\n", &good[1..]), "line 1"),
        (String::new(), "holds no key"),
    ] {
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = KeyEncryptionKeys::open_or_create(&path)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(line), "{error}");
        assert!(
            !error.contains("zzzz") && !error.contains("aaaa"),
            "no key material in {error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
