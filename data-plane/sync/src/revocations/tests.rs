//! Tests of merging and storing revocations.

use super::*;
use crate::{
    ControlPlaneTransport,
    fixture::{FakeControlPlane, machine, options_in, small, snapshot, token, until, version},
    start::start,
};

fn message(complete: bool, revision: u64, hashes: &[u8]) -> pb::Revocations {
    let token_hashes = hashes.iter().map(|byte| vec![*byte; 32]).collect();
    pb::Revocations {
        sequence: 1,
        token_hashes,
        complete,
        version: Some(pb::Version { epoch: 1, revision }),
        fleet_share: None,
    }
}

fn hashes(bytes: &[u8]) -> Arc<BTreeSet<AuthnId>> {
    let hashes = bytes.iter().map(|byte| AuthnId([*byte; 32]));
    Arc::new(hashes.collect())
}

fn told(revision: u64, bytes: &[u8]) -> RevokedTokens {
    RevokedTokens {
        version: version(revision),
        hashes: hashes(bytes),
    }
}

/// Returns a view of this revision with these tokens.
fn view(revision: u64, tokens: &[u8]) -> View {
    let tokens = tokens.iter().map(|byte| token(&format!("t{byte}"), *byte));
    View::build(&snapshot(revision, tokens.collect()), None).0
}

#[test]
fn a_complete_message_replaces_and_an_incremental_one_adds() {
    let view = view(9, &[]);
    let held = merge(&told(5, &[9]), &message(true, 6, &[1, 2]), &view);
    assert_eq!(held, told(6, &[1, 2]));
    assert_eq!(
        merge(&held, &message(false, 7, &[3]), &view),
        told(7, &[1, 2, 3])
    );
    assert_eq!(merge(&held, &message(true, 6, &[]), &view), told(6, &[]));
}

#[test]
fn an_older_complete_message_removes_no_revocation() {
    let lagging = message(true, 4, &[2]);
    assert_eq!(
        merge(&told(5, &[1]), &lagging, &view(9, &[])),
        told(5, &[1, 2])
    );
    let unversioned = pb::Revocations {
        version: None,
        ..message(true, 0, &[])
    };
    assert_eq!(
        merge(&told(5, &[1]), &unversioned, &view(9, &[])),
        told(5, &[1])
    );
}

#[test]
fn a_deleted_token_stays_revoked_until_it_leaves_the_view() {
    // A later stream omits the token because it was deleted.
    let anew = message(true, 6, &[]);
    assert_eq!(
        merge(&told(5, &[1, 2]), &anew, &view(5, &[1])),
        told(6, &[1])
    );
    // An older view may get the token before it gets the deletion.
    assert_eq!(merge(&told(5, &[1]), &anew, &view(4, &[])), told(6, &[1]));
}

#[test]
fn a_token_that_was_revoked_after_the_copy_of_a_restored_store_stays_revoked() {
    let of_epoch = |revision: u64, hashes: &[u8]| pb::Revocations {
        version: Some(pb::Version { epoch: 2, revision }),
        ..message(true, revision, hashes)
    };
    // The copy has neither revocation, and token 1 only.
    let after = merge(&told(5, &[1, 2]), &of_epoch(2, &[3]), &view(5, &[]));
    assert_eq!(after.hashes, hashes(&[1, 2, 3]));
    assert_eq!(after.version.epoch, 2);
    let mut restored = snapshot(2, vec![token("t1", 1)]);
    restored.version.epoch = 2;
    let restored = View::build(&restored, None).0;
    // The next stream removes what belongs to no token of the restored configuration.
    let next = merge(&after, &of_epoch(3, &[3]), &restored);
    assert_eq!(next.hashes, hashes(&[1, 3]));
}

#[test]
fn an_invalid_hash_is_ignored() {
    let mut odd = message(false, 5, &[4]);
    odd.token_hashes.push(vec![1, 2, 3]);
    assert_eq!(merge(&told(5, &[]), &odd, &view(5, &[])), told(5, &[4]));
}

#[test]
fn revocations_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = EncryptedDirectory::open(folder.path()).unwrap();
    assert_eq!(load(&disk), None);
    let kept = told(7, &[5, 6]);
    disk.save(FILE, &to_bytes(&kept)).unwrap();
    assert_eq!(load(&disk), Some(kept));
}

#[tokio::test]
async fn a_revocation_that_came_with_the_number_of_proxies_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let link = ControlPlaneTransport::Memory(fake.dialer());
    let _handle = start(options_in(folder.path(), link), &machine).unwrap();
    machine.readiness.ready().await;
    fake.revoked.send_replace(pb::Revocations {
        token_hashes: vec![vec![9; 32]],
        fleet_share: Some(pb::FleetShare { serving_proxies: 4 }),
        ..pb::Revocations::default()
    });
    let disk = EncryptedDirectory::open(folder.path()).unwrap();
    until(|| load(&disk).is_some_and(|held| held.hashes == hashes(&[9]))).await;
}

#[test]
fn a_million_revocations_are_kept_and_a_further_one_is_left_out() {
    let numbered = |number: u64| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        AuthnId(hash)
    };
    let held = RevokedTokens {
        version: version(5),
        hashes: Arc::new((0..999_999).map(numbered).collect()),
    };
    let [last, beyond] = [1_000_000, 1_000_001].map(numbered);
    let more = pb::Revocations {
        token_hashes: vec![last.0.to_vec(), beyond.0.to_vec()],
        ..message(false, 6, &[])
    };
    let after = merge(&held, &more, &view(5, &[]));
    assert_eq!(after.hashes.len(), 1_000_000);
    assert!(after.hashes.contains(&last) && !after.hashes.contains(&beyond));
}
