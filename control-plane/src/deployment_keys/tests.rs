//! Tests that the keys of the deployment are never replaced.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use tokio::time::timeout;
use toolgate_vault::KeyEncryptionKeys;

use super::*;
use crate::fixture::{memory, put, ready};

/// Well above all attempts to read a key.
const DEADLINE: Duration = Duration::from_secs(120);

fn vault(folder: &std::path::Path) -> EnvelopeSealer {
    let path = folder.join("key");
    std::fs::write(&path, format!("k1 {}\n", "1".repeat(64))).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    EnvelopeSealer::new(KeyEncryptionKeys::open(&path).unwrap())
}

#[tokio::test]
async fn an_unreadable_key_ends_the_start_with_its_name_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    for name in [TOKENS, SEAL, AUTHORITY] {
        let fresh = memory();
        let key = ObjectKey::SystemKey(name.parse().unwrap()).to_string();
        fresh.commit(put(&key, b"\xff\xfe")).await.unwrap();
        let plane = ready(Arc::clone(&fresh)).await;
        let opening = DeploymentKeys::open_or_create(&plane.writer, &vault, "t");
        let refused = timeout(DEADLINE, opening).await.expect("it is bounded");
        let error = refused.err().expect("it is refused");
        assert!(
            matches!(&error, DeploymentKeysError::Unreadable { name: unreadable, .. } if *unreadable == name),
            "{error}"
        );
        assert!(error.to_string().contains("restore the store"), "{error}");
        let state = plane.writer.current();
        assert!(
            state
                .quarantined(&ObjectKey::SystemKey(name.parse().unwrap()))
                .is_some()
        );
    }
}
