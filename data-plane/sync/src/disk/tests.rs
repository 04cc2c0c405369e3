//! Tests of the encrypted files.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn folder() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("proxy");
    (temporary, path)
}

#[test]
fn saved_state_survives_a_restart() {
    let (_temporary, path) = folder();
    EncryptedDirectory::open(&path)
        .unwrap()
        .save("view", b"first")
        .unwrap();
    EncryptedDirectory::open(&path)
        .unwrap()
        .save("view", b"second")
        .unwrap();
    let again = EncryptedDirectory::open(&path).unwrap();
    assert_eq!(again.load("view").unwrap().as_slice(), b"second");
    assert!(again.load("keys").is_none());
}

#[test]
fn files_are_private_and_encrypted() {
    let (_temporary, path) = folder();
    EncryptedDirectory::open(&path)
        .unwrap()
        .save("view", b"a secret of ours")
        .unwrap();
    for file in fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o077, 0, "{file:?}");
        let bytes = fs::read(file.path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
    }
}

#[test]
fn a_damaged_swapped_or_cut_file_is_moved_aside() {
    let (_temporary, path) = folder();
    let disk = EncryptedDirectory::open(&path).unwrap();
    disk.save("view", b"content").unwrap();
    fs::copy(path.join("view.sealed"), path.join("keys.sealed")).unwrap();
    assert!(disk.load("keys").is_none());
    let mut bytes = fs::read(path.join("view.sealed")).unwrap();
    bytes[30] ^= 1;
    fs::write(path.join("view.sealed"), &bytes).unwrap();
    assert!(disk.load("view").is_none());
    assert!(path.join("view.bad").exists() && !path.join("view.sealed").exists());
    fs::write(path.join("view.sealed"), b"short").unwrap();
    assert!(disk.load("view").is_none());
}

#[test]
fn a_key_readable_by_other_users_is_rejected_with_a_remedy() {
    let (_temporary, path) = folder();
    EncryptedDirectory::open(&path).unwrap();
    fs::set_permissions(path.join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = EncryptedDirectory::open(&path).err().unwrap().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
}
