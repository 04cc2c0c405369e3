//! Tests of merging and storing revocations.

use super::*;
use crate::fixture::{snapshot, token, version};

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

/// The store was restored from a copy that is older than the revocations of the tokens 1 and 2. It holds token 1.
#[test]
fn se_08_a_new_epoch_forgets_no_revocation_of_a_token_that_the_restored_store_holds() {
    let restored = |revision, revoked: &[u8]| {
        let mut message = message(true, revision, revoked);
        message.version = Some(pb::Version { epoch: 2, revision });
        message
    };
    // The view of the earlier epoch does not tell which tokens the new one will hold.
    let held = merge(&told(5, &[1, 2]), &restored(2, &[3]), &view(5, &[]));
    assert_eq!(held.hashes, hashes(&[1, 2, 3]));
    let mut adopted = snapshot(2, vec![token("t1", 1), token("t4", 4)]);
    adopted.version.epoch = 2;
    let adopted = View::build(&adopted, None).0;
    let held = merge(&held, &restored(3, &[3]), &adopted);
    assert_eq!(held.hashes, hashes(&[1, 3]));
    // A message of the earlier epoch removes none.
    assert_eq!(merge(&held, &message(true, 9, &[]), &adopted), held);
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
    let disk = SealedDirectory::open(folder.path()).unwrap();
    assert_eq!(load(&disk), RevokedTokens::default());
    let kept = told(7, &[5, 6]);
    disk.save(FILE, &to_bytes(&kept)).unwrap();
    assert_eq!(load(&disk), kept);
}
