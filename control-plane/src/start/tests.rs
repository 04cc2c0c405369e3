//! Tests that an empty store is prepared, that a prepared store is left as it is, and that control planes of one store
//! share its keys.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use toolgate_api::KeyringReader as _;
use toolgate_control_core::{
    Command,
    port::{CertificateAuthority as _, SecretPurpose, StateReader as _, TokenIssuer as _},
};
use toolgate_egress::{Egress, EgressPolicy, PoolOptions};
use toolgate_model::{ObjectName, Token};
use toolgate_runtime::{DrainTrigger, clock, drain};
use toolgate_store::EmbeddedStore;
use toolgate_vault::KeyEncryptionKeys;

use super::*;
use crate::fixture::{self, HANG_GUARD, memory};

mod earlier_stores;

fn machine() -> (ControlPlaneContext, DrainTrigger) {
    let (drain, trigger) = drain::new();
    let egress = Egress::new(EgressPolicy::default()).unwrap();
    let machine = ControlPlaneContext {
        clock: clock::system(),
        metrics: Metrics::new(),
        readiness: Readiness::new(),
        drain,
        actors: ActorSystem::start(1).unwrap(),
        http: egress.http(PoolOptions::default()),
    };
    (machine, trigger)
}

fn options(folder: &Path) -> StartOptions {
    StartOptions {
        token_prefix: "archestra".to_owned(),
        organization: "default".parse().unwrap(),
        key_file: Some(folder.join("key")),
        admin_token_file: folder.join("admin-token"),
        deployment_file: folder.join("deployment"),
        reset_admin_token: false,
        new_epoch: false,
        new_deployment: false,
        exclusive_store: false,
        local_proxy: None,
    }
}

async fn start(
    options: StartOptions,
    store: &Arc<dyn Store>,
) -> (Result<ControlPlane, StartError>, DrainTrigger) {
    let (machine, trigger) = machine();
    (
        ControlPlane::start(options, Arc::clone(store), machine).await,
        trigger,
    )
}

#[tokio::test]
async fn an_empty_store_gets_an_organization_and_a_working_token() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, _trigger) = start(options(folder.path()), &memory()).await;
    let plane = plane.unwrap();
    assert!(matches!(plane.first_token(), FirstToken::Created));
    let file = folder.path().join("admin-token");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(
        secret.starts_with("archestra_"),
        "the usual form of a token"
    );
    let hash = plane
        .write_path()
        .hash(SecretPurpose::Bearer, secret.trim().as_bytes());
    let state = plane.write_path().publications().borrow().state.clone();
    let token = state.token_by_hash(&hash).unwrap();
    assert!(token.system && token.revoked.is_none());
    assert_eq!(state.organizations.len(), 1);
}

#[tokio::test]
async fn a_restart_keeps_token_keys_and_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut keyrings = Vec::new();
    for round in 0..2 {
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&path, clock::system()).unwrap());
        let (plane, trigger) = start(options(folder.path()), &store).await;
        let plane = plane.unwrap();
        match plane.first_token() {
            FirstToken::Created => assert_eq!(round, 0),
            FirstToken::Kept => assert_eq!(round, 1),
            FirstToken::Elsewhere => panic!("the token is in our file"),
        }
        let state = plane.write_path().publications().borrow().state.clone();
        assert_eq!((state.epoch(), state.tokens.len()), (1, 1));
        keyrings.push((
            plane.write_path().keyring(),
            plane.write_path().authority_pem(),
        ));
        drop((plane, store));
        trigger.drain(HANG_GUARD).await;
    }
    assert!(keyrings[0] == keyrings[1]);
}

#[tokio::test]
async fn control_planes_of_one_store_share_keys_and_token() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = memory();
    let (first, _one) = start(options(one.path()), &store).await;
    let first = first.unwrap();
    std::fs::copy(one.path().join("key"), two.path().join("key")).unwrap();
    let (second, _two) = start(options(two.path()), &store).await;
    let second = second.unwrap();
    assert!(first.write_path().keyring() == second.write_path().keyring());
    assert!(matches!(second.first_token(), FirstToken::Elsewhere));
}

#[tokio::test]
async fn a_different_key_file_is_rejected_with_a_remedy() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = memory();
    let (first, trigger) = start(options(one.path()), &store).await;
    first.unwrap();
    trigger.drain(HANG_GUARD).await;
    KeyEncryptionKeys::open_or_create(&two.path().join("key")).unwrap();
    let before = everything(&store).await;
    let (second, _two) = start(options(two.path()), &store).await;
    let Err(error @ StartError::OtherKeyFile { .. }) = second.map(drop) else {
        panic!("keys of another deployment opened");
    };
    let told = error.to_string();
    let file = two.path().join("key").display().to_string();
    for words in [
        &*file,
        "copy it from another control plane",
        "--etcd-prefix",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(everything(&store).await, before);
}

/// Lists all keys in a store with the revision of each value.
async fn everything(store: &Arc<dyn Store>) -> Vec<(String, u64)> {
    let page = store.list("", None, 1000, None).await.unwrap();
    let entries = page.entries.into_iter();
    entries
        .map(|entry| (entry.key, entry.mod_revision))
        .collect()
}

#[tokio::test]
async fn a_lost_key_file_is_not_recreated_and_the_failed_start_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    let embedded: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&file, clock::system()).unwrap());
    for store in [memory(), embedded] {
        let key = folder.path().join("key");
        let (first, trigger) = start(options(folder.path()), &store).await;
        drop(first.unwrap());
        trigger.drain(HANG_GUARD).await;
        let kept = folder.path().join("kept");
        std::fs::rename(&key, &kept).unwrap();
        let before = everything(&store).await;
        let (second, _second) = start(options(folder.path()), &store).await;
        let Err(error @ StartError::KeyFileMissing { .. }) = second.map(drop) else {
            panic!("a fresh key opened what another one had sealed");
        };
        let told = error.to_string();
        for words in [
            &*key.display().to_string(),
            "is missing",
            "back from its backup",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(
            !key.exists(),
            "a fresh key stands where the lost one belongs"
        );
        assert_eq!(everything(&store).await, before);
        std::fs::rename(&kept, &key).unwrap();
        let (restored, trigger) = start(options(folder.path()), &store).await;
        restored.unwrap();
        trigger.drain(HANG_GUARD).await;
        // A new deployment begins in the other store.
        for file in ["key", "admin-token", "deployment"] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_concurrent_starts_with_different_keys_reject_one() {
    for _ in 0..5 {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = memory();
        let ((first, _one), (second, _two)) = tokio::join!(
            start(options(one.path()), &store),
            start(options(two.path()), &store),
        );
        let (loser, winner, refused) = match (first, second) {
            (Ok(_plane), Err(error)) => (two.path(), one.path(), error),
            (Err(error), Ok(_plane)) => (one.path(), two.path(), error),
            _ => panic!("exactly one of two keys can have sealed the deployment's"),
        };
        let told = refused.to_string();
        assert!(
            told.contains("copy it from another control plane"),
            "{told}"
        );
        // Following the advice in the error resolves it.
        std::fs::copy(winner.join("key"), loser.join("key")).unwrap();
        let (again, _again) = start(options(loser), &store).await;
        again.unwrap();
    }
}

#[tokio::test]
async fn a_lost_admin_token_is_replaced_on_request_and_stops_working() {
    let folder = tempfile::tempdir().unwrap();
    let store = memory();
    let (first, _one) = start(options(folder.path()), &store).await;
    drop(first.unwrap());
    let file = folder.path().join("admin-token");
    let lost = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let reset = StartOptions {
        reset_admin_token: true,
        ..options(folder.path())
    };
    let (second, _two) = start(reset, &store).await;
    let second = second.unwrap();
    let state = second.write_path().publications().borrow().state.clone();
    let hash = second
        .write_path()
        .hash(SecretPurpose::Bearer, lost.trim().as_bytes());
    assert!(state.token_by_hash(&hash).unwrap().revoked.is_some());
    assert_ne!(std::fs::read_to_string(&file).unwrap(), lost);
}

#[tokio::test]
async fn an_expired_admin_token_is_replaced_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = memory();
    let (first, _one) = start(options(folder.path()), &store).await;
    let first = first.unwrap();
    let writer = &first.write_path().writer;
    let minted = first.write_path().mint_secret(SecretPurpose::Bearer);
    let boot = writer.current().tokens.iter().next().unwrap().0.clone();
    let org = boot.org.clone();
    // As an earlier build has left it.
    let expiring = Token {
        name: ObjectName::new(org, "expiring".parse().unwrap()),
        hash: minted.hash,
        system: true,
        expires: Some(writer.clock.now().after(Duration::from_secs(2))),
        ..fixture::token("expiring")
    };
    let context = crate::bootstrap::context(writer);
    for command in [Command::Create(expiring.into()), Command::RevokeToken(boot)] {
        let written = writer.write(&command, &context).await.unwrap();
        writer.state_at(written.revision).await;
    }
    let file = folder.path().join("admin-token");
    let expired = (*minted.secret).as_ref().to_vec();
    std::fs::write(&file, &expired).unwrap();
    drop(first);
    tokio::time::sleep(Duration::from_millis(2_100)).await;

    let (second, _two) = start(options(folder.path()), &store).await;
    let second = second.unwrap();
    assert!(matches!(second.first_token(), FirstToken::Created));
    let secret = std::fs::read(&file).unwrap();
    assert_ne!(secret, expired);
    let hash = second
        .write_path()
        .hash(SecretPurpose::Bearer, secret.trim_ascii());
    let state = second.write_path().writer.current();
    let token = state.token_by_hash(&hash).unwrap();
    assert!(token.system && token.expires.is_none() && token.revoked.is_none());
}

#[tokio::test]
async fn a_proxy_of_this_process_that_was_deleted_is_admitted_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = memory();
    let local: Slug = "local".parse().unwrap();
    let (first, _one) = start(options(folder.path()), &store).await;
    let first = first.unwrap();
    let writer = &first.write_path().writer;
    let context = crate::bootstrap::context(writer);
    for id in ["local", "other"] {
        let seen = fixture::proxy(id, writer.clock.now());
        let id = seen.id.clone();
        for command in [Command::RecordProxy(seen), Command::ForgetProxy(id)] {
            let written = writer.write(&command, &context).await.unwrap();
            writer.state_at(written.revision).await;
        }
    }
    drop(first);
    let with_local = StartOptions {
        local_proxy: Some(local.clone()),
        ..options(folder.path())
    };
    for round in 0..2 {
        let (plane, _trigger) = start(with_local.clone(), &store).await;
        let plane = plane.unwrap();
        let state = plane.write_path().writer.current();
        let now = plane.write_path().writer.clock.now();
        assert!(!state.is_expelled(&local, now), "{round}");
        assert!(state.is_expelled(&"other".parse().unwrap(), now), "{round}");
        assert_eq!(plane.write_path().local_proxy(), Some(&local));
    }
}

#[tokio::test]
async fn a_new_epoch_is_newer_than_every_version_of_the_old_one() {
    let (folder, store) = (tempfile::tempdir().unwrap(), memory());
    let version = |plane: &ControlPlane| {
        let publications = plane.write_path().publications();
        let published = publications.borrow();
        published.compiled.snapshot.version
    };
    let (one, first) = start(options(folder.path()), &store).await;
    let before = version(&one.unwrap());
    drop(first);
    let restored = StartOptions {
        new_epoch: true,
        ..options(folder.path())
    };
    let (two, _second) = start(restored, &store).await;
    let two = two.unwrap();
    let after = version(&two);
    assert_eq!((before.epoch, after.epoch), (1, 2));
    assert!(after > before);
    let state = two.write_path().publications().borrow().state.clone();
    let epochs: Vec<u64> = state.history.iter().map(|(_, entry)| entry.epoch).collect();
    assert!(epochs.contains(&1) && epochs.ends_with(&[2]), "{epochs:?}");
}

#[test]
fn an_expelled_proxy_stays_rejected_until_its_last_certificate_expires() {
    let skew = Duration::from_secs(300);
    assert!(
        toolgate_control_core::limits::EXPULSION_PERIOD
            > toolgate_vault::PROXY_CERTIFICATE_TTL + skew
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_concurrent_starts_in_one_folder_agree_on_one_admin_token() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let store = memory();
        let both = tokio::join!(
            start(options(folder.path()), &store),
            start(options(folder.path()), &store),
        );
        let ((one, _one), (two, _two)) = both;
        let (one, two) = (one.unwrap(), two.unwrap());
        let created = |plane: &ControlPlane| matches!(plane.first_token(), FirstToken::Created);
        assert!(created(&one) || created(&two));
        let secret = std::fs::read_to_string(folder.path().join("admin-token")).unwrap();
        let hash = one
            .write_path()
            .hash(SecretPurpose::Bearer, secret.trim().as_bytes());
        for plane in [&one, &two] {
            let state = plane.write_path().publications().borrow().state.clone();
            let mut live = state.tokens.iter().filter(|(_, token)| token.system);
            assert_eq!(live.next().map(|(_, token)| token.hash), Some(hash));
            assert!(live.next().is_none(), "a token that nobody has");
        }
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 3, "the key, the token and the record");
    }
}

/// Lists all files in a folder with their content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn an_empty_store_is_refused_where_there_was_a_deployment() {
    let folder = tempfile::tempdir().unwrap();
    let (first, trigger) = start(options(folder.path()), &memory()).await;
    drop(first.unwrap());
    trigger.drain(HANG_GUARD).await;
    let everything_there = files(folder.path());
    // Each of the files is enough, and so is a flag that says the store was restored.
    for (kept, new_epoch) in [
        (None, false),
        (None, true),
        (Some("deployment"), false),
        (Some("admin-token"), false),
        (Some("key"), false),
    ] {
        for (name, content) in &everything_there {
            let file = folder.path().join(name);
            if kept.is_some_and(|kept| kept != name) {
                std::fs::remove_file(file).unwrap_or_default();
                continue;
            }
            std::fs::write(&file, content).unwrap();
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&file, private).unwrap();
        }
        let before = files(folder.path());
        let store = memory();
        let options = StartOptions {
            new_epoch,
            ..options(folder.path())
        };
        let (second, _second) = start(options, &store).await;
        let told = match second.map(drop) {
            Err(error @ StartError::EmptyStore(_)) => error.to_string(),
            started => panic!("{kept:?}: {started:?}"),
        };
        for words in [
            "--etcd-prefix",
            "--data-dir",
            "--new-epoch",
            "--new-deployment",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(everything(&store).await, []);
        assert_eq!(files(folder.path()), before, "{kept:?}");
    }
}

#[tokio::test]
async fn a_new_deployment_begins_on_request_in_an_epoch_later_than_that_before() {
    let folder = tempfile::tempdir().unwrap();
    let lost = memory();
    for _ in 0..3 {
        let restored = StartOptions {
            new_epoch: true,
            ..options(folder.path())
        };
        let (plane, trigger) = start(restored, &lost).await;
        drop(plane.unwrap());
        trigger.drain(HANG_GUARD).await;
    }
    let before = std::fs::read(folder.path().join("admin-token")).unwrap();
    let new = StartOptions {
        new_deployment: true,
        ..options(folder.path())
    };
    let store = memory();
    let (plane, trigger) = start(new.clone(), &store).await;
    let plane = plane.unwrap();
    assert!(matches!(plane.first_token(), FirstToken::Created));
    let epoch = |plane: &ControlPlane| {
        let publications = plane.write_path().publications();
        let published = publications.borrow();
        published.compiled.snapshot.version.epoch
    };
    assert_eq!(epoch(&plane), 5, "the last epoch was 4");
    let token = std::fs::read(folder.path().join("admin-token")).unwrap();
    assert_ne!(token, before);
    drop(plane);
    trigger.drain(HANG_GUARD).await;
    // The flag is for one start, and has no effect on the next.
    let (again, _again) = start(new, &store).await;
    let again = again.unwrap();
    assert!(matches!(again.first_token(), FirstToken::Kept));
    assert_eq!(epoch(&again), 5);
}

#[tokio::test]
async fn a_store_that_lacks_served_changes_is_refused_without_a_new_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("deployment");
    let store = memory();
    let (plane, trigger) = start(options(folder.path()), &store).await;
    drop(plane.unwrap());
    trigger.drain(HANG_GUARD).await;
    let served = std::fs::read_to_string(&record).unwrap();
    let revision = served.split_whitespace().next_back().unwrap();
    let later = revision.parse::<u64>().unwrap() + 1;
    // The same store starts again.
    let (plane, trigger) = start(options(folder.path()), &store).await;
    drop(plane.unwrap());
    trigger.drain(HANG_GUARD).await;
    for recorded in [
        format!("epoch 1 revision {later}"),
        "epoch 2 revision 1".to_owned(),
    ] {
        std::fs::write(&record, recorded).unwrap();
        let before = everything(&store).await;
        let (refused, _trigger) = start(options(folder.path()), &store).await;
        let Err(error @ StartError::OlderStore(_)) = refused.map(drop) else {
            panic!("an older store was served");
        };
        let told = error.to_string();
        for words in [
            &*record.display().to_string(),
            "--new-epoch",
            "--etcd-prefix",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(everything(&store).await, before);
    }
}

#[tokio::test]
async fn an_older_copy_is_restored_in_an_epoch_later_than_any_before() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("deployment");
    let store = memory();
    let (plane, trigger) = start(options(folder.path()), &store).await;
    drop(plane.unwrap());
    trigger.drain(HANG_GUARD).await;
    // This control plane has seen more epochs than the copy.
    std::fs::write(&record, "epoch 6\n").unwrap();
    let restored = StartOptions {
        new_epoch: true,
        ..options(folder.path())
    };
    let (plane, _trigger) = start(restored, &store).await;
    let state = plane
        .unwrap()
        .write_path()
        .publications()
        .borrow()
        .state
        .clone();
    assert_eq!(state.epoch(), 7);
    assert!(
        std::fs::read_to_string(&record)
            .unwrap()
            .contains("epoch 7")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn control_planes_that_share_a_key_file_may_start_at_once() {
    for _ in 0..5 {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = memory();
        let shared = StartOptions {
            key_file: Some(one.path().join("key")),
            ..options(two.path())
        };
        let ((first, _one), (second, _two)) =
            tokio::join!(start(options(one.path()), &store), start(shared, &store));
        first.unwrap();
        second.unwrap();
    }
}
