//! The memory of failed attempts is bounded and short.

use toolgate_model::{CredentialScope, ObjectName, snapshot::CredentialRef};

use super::*;

fn key(revision: u64) -> PendingKey {
    let org = "acme".parse().unwrap();
    PendingKey {
        server: ObjectName::new(org, "files".parse().unwrap()),
        credential: CredentialRef {
            id: "files-key".parse().unwrap(),
            revision,
            scope: CredentialScope::Shared,
        },
        principal: None,
    }
}

#[tokio::test(start_paused = true)]
async fn failed_attempts_are_remembered_for_ten_seconds_and_in_bounded_number() {
    let attempts = FailedAttempts::default();
    let full = u64::try_from(MAX_ATTEMPTS).unwrap();
    (0..=full).for_each(|revision| attempts.note(key(revision)));
    assert_eq!(attempts.attempts().len(), MAX_ATTEMPTS);
    assert!(attempts.is_recent(&key(0)) && !attempts.is_recent(&key(full)));
    attempts.forget(&key(0));
    assert!(!attempts.is_recent(&key(0)));
    tokio::time::advance(RETRY_AFTER).await;
    assert!(!attempts.is_recent(&key(1)));
    attempts.note(key(0));
    attempts.note(key(full));
    assert!(attempts.is_recent(&key(full)), "the old ones make room");
}
