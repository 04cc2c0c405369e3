//! Tests of synchronization as a whole, against a fake control plane.

use std::sync::atomic::Ordering;

use toolgate_data_core::AuthnId;
use toolgate_data_core::port::{CredentialRequest, CredentialResolver as _, UpstreamCredential};
use toolgate_model::{
    CredentialScope, ObjectName, Principal, PrincipalSubject, SnapshotResource,
    snapshot::{CredentialRef, SnapshotEntry},
};
use toolgate_proto::push::v1::{self as pb, from_proxy::Message};
use toolgate_runtime::memory;

use super::*;
use crate::fixture::{
    FakeControlPlane, HANG_GUARD, connect, machine, options, options_in, serve, server, small,
    token, until, version,
};

mod expulsions;
mod poison;

fn credential(revision: u64) -> CredentialRef {
    CredentialRef {
        id: "files-key".parse().unwrap(),
        revision,
        scope: CredentialScope::Shared,
    }
}

fn files() -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), "files".parse().unwrap())
}

fn user(id: &str) -> Principal {
    Principal {
        org: "acme".parse().unwrap(),
        subject: PrincipalSubject::User(id.parse().unwrap()),
    }
}

fn text(credential: &UpstreamCredential) -> String {
    let UpstreamCredential::Header(header) = credential else {
        panic!("one header");
    };
    String::from_utf8(header.value.to_vec()).unwrap()
}

fn value(handle: &SyncHandle, revision: u64) -> Option<String> {
    let held = handle.held(CredentialRequest {
        server: &files(),
        reference: &credential(revision),
        principal: &user("ada"),
    })?;
    Some(text(&held))
}

#[tokio::test]
async fn the_first_push_is_served_and_acknowledged_and_sets_readiness() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = connect(&fake, &machine);
    assert!(!machine.readiness.is_ready());
    machine.readiness.ready().await;
    assert_eq!(handle.current().counts(), [1, 1, 1]);
    assert_eq!(*handle.version().borrow(), version(5));
    assert!(handle.keys().is_some());
    until(|| !fake.answers.lock().unwrap().is_empty()).await;
    let expected = pb::Ack {
        nonce: 1,
        version: Some(pb::Version {
            epoch: 1,
            revision: 5,
        }),
    };
    assert_eq!(fake.answers.lock().unwrap()[0], Message::Ack(expected));
    assert!(handle.status().connected);
}

#[tokio::test]
async fn a_poisoned_resource_is_reported_while_the_rest_is_served() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    *fake.mutator.lock().unwrap() = Some(|update| {
        for resource in &mut update.puts {
            if resource.key.as_ref().is_some_and(|key| key.id == "broken") {
                resource.body = None;
            }
        }
    });
    let mut wanted = small(6);
    wanted
        .entries
        .extend([token("broken", 8), token("fine", 9)]);
    fake.wanted.send_replace(wanted);
    until(|| *handle.version().borrow() == version(6)).await;
    assert_eq!(handle.current().counts(), [1, 1, 2]);
    until(|| !fake.nacks().is_empty()).await;
    let nack = &fake.nacks()[0];
    assert_eq!(nack.refused.len(), 1);
    assert_eq!(nack.refused[0].key.as_ref().unwrap().id, "broken");
    assert!(nack.refused[0].reason.contains("body"), "{nack:?}");
}

#[tokio::test]
async fn after_a_disconnect_the_proxy_reports_its_state_and_keeps_serving() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    fake.disconnect.send_replace(1);
    until(|| fake.hellos.lock().unwrap().len() >= 2).await;
    let hellos = fake.hellos.lock().unwrap().clone();
    assert_eq!(hellos[0].held, None);
    assert_eq!(
        hellos[1].held,
        Some(pb::Version {
            epoch: 1,
            revision: 5
        })
    );
    assert_eq!(hellos[1].resources.len(), 4);
    assert_eq!(handle.current().counts(), [1, 1, 1]);
}

#[tokio::test]
async fn a_control_plane_that_lags_behind_changes_nothing() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    fake.wanted
        .send_replace(crate::fixture::snapshot(4, vec![]));
    until(|| fake.hellos.lock().unwrap().len() >= 2).await;
    assert_eq!(*handle.version().borrow(), version(5));
    assert_eq!(handle.current().counts(), [1, 1, 1]);
    assert_eq!(fake.nacks(), []);
}

#[tokio::test]
async fn a_revocation_takes_effect_immediately() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    assert!(!handle.is_revoked(&AuthnId([7; 32])));
    let token_hashes = vec![vec![7; 32]];
    fake.revoked.send_replace(pb::Revocations {
        sequence: 2,
        token_hashes,
        complete: false,
        version: None,
        fleet_share: None,
    });
    until(|| handle.is_revoked(&AuthnId([7; 32]))).await;
}

#[tokio::test]
async fn the_number_of_serving_proxies_arrives_beside_the_revocations() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    assert_eq!(handle.serving_proxies().get(), 1);
    let token_hashes = vec![vec![7; 32]];
    let mut revocations = handle.revocations();
    fake.revoked.send_replace(pb::Revocations {
        token_hashes,
        fleet_share: Some(pb::FleetShare { serving_proxies: 4 }),
        ..pb::Revocations::default()
    });
    let told = revocations.wait_for(|told| told.contains(&AuthnId([7; 32])));
    let told = tokio::time::timeout(Duration::from_secs(5), told).await;
    assert!(told.unwrap().is_ok());
    assert_eq!(handle.serving_proxies().get(), 4);
}

#[tokio::test]
async fn a_revocation_is_applied_while_a_push_is_incomplete() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    *fake.mutator.lock().unwrap() = Some(|update| update.more = true);
    fake.wanted.send_replace(small(6));
    let mut revocations = handle.revocations();
    let token_hashes = vec![vec![7; 32]];
    fake.revoked.send_replace(pb::Revocations {
        token_hashes,
        ..pb::Revocations::default()
    });
    let told = revocations.wait_for(|told| told.contains(&AuthnId([7; 32])));
    let told = tokio::time::timeout(HANG_GUARD, told).await;
    assert!(told.unwrap().is_ok());
    assert!(handle.is_revoked(&AuthnId([7; 32])));
    assert_eq!(*handle.version().borrow(), version(5));
}

#[tokio::test]
async fn views_and_revocations_arrive_until_the_last_request_has_ended() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, trigger) = machine();
    let handle = serve(&fake, &machine).await;
    let request = machine.drain.blocker("request");
    let drained = machine.drain.spawn_unguarded(trigger.drain(HANG_GUARD));
    machine.drain.draining().await;
    let token_hashes = vec![vec![7; 32]];
    fake.revoked.send_replace(pb::Revocations {
        token_hashes,
        ..pb::Revocations::default()
    });
    until(|| handle.is_revoked(&AuthnId([7; 32]))).await;
    fake.wanted.send_replace(small(6));
    until(|| *handle.version().borrow() == version(6)).await;
    assert!(!drained.is_finished());
    drop(request);
    assert_eq!(drained.await.unwrap().to_string(), "drained");
}

#[tokio::test]
async fn credentials_are_prefetched_and_removed_when_unreferenced() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = connect(&fake, &machine);
    until(|| value(&handle, 3).is_some()).await;
    assert_eq!(value(&handle, 3).unwrap(), "Bearer files-key-3");
    // When a newer revision is required, the old one is not used any more and the new one is resolved.
    let mut wanted = small(6);
    wanted
        .entries
        .extend([server("files", "http://files.test/mcp", Some(6))]);
    fake.wanted.send_replace(wanted);
    until(|| value(&handle, 6).is_some()).await;
    assert_eq!(value(&handle, 6).unwrap(), "Bearer files-key-6");
    let mut wanted = small(7);
    wanted
        .entries
        .extend([server("files", "http://files.test/mcp", None)]);
    fake.wanted.send_replace(wanted);
    until(|| value(&handle, 0).is_none()).await;
}

#[tokio::test]
async fn concurrent_callers_fetch_a_credential_once_and_a_missing_one_is_no_error() {
    let fake = FakeControlPlane::new(crate::fixture::snapshot(5, vec![]));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    let wanted = credential(3);
    let (server, principals) = (files(), [user("ada"), user("bob")]);
    let request = |at: usize| CredentialRequest {
        server: &server,
        reference: &wanted,
        principal: &principals[at % 2],
    };
    let asked = (0..20).map(|at| handle.resolve(request(at)));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(fake.resolved.load(Ordering::SeqCst), 1);
    let missing = CredentialRef {
        id: "missing".parse().unwrap(),
        revision: 1,
        scope: CredentialScope::Shared,
    };
    let missing = CredentialRequest {
        reference: &missing,
        ..request(0)
    };
    assert!(handle.resolve(missing).await.is_err());
}

#[tokio::test]
async fn a_personal_credential_is_fetched_once_for_each_principal_and_not_ahead() {
    let mut wanted = crate::fixture::snapshot(5, vec![]);
    let (key, entry) = server("files", "http://files.test/mcp", Some(3));
    let SnapshotResource::Server(mut resource) = SnapshotResource::clone(&entry.resource) else {
        panic!("no server");
    };
    if let Some(credential) = &mut resource.credential {
        credential.scope = CredentialScope::PerPrincipal;
    }
    let entry = SnapshotEntry::new(SnapshotResource::Server(resource));
    wanted.entries.insert(key, entry);
    let fake = FakeControlPlane::new(wanted);
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    let wanted = CredentialRef {
        scope: CredentialScope::PerPrincipal,
        ..credential(3)
    };
    let (server, principals) = (files(), [user("ada"), user("bob")]);
    let request = |at: usize| CredentialRequest {
        server: &server,
        reference: &wanted,
        principal: &principals[at % 2],
    };
    let asked = (0..20).map(|at| handle.resolve(request(at)));
    let answers = futures_util::future::join_all(asked).await;
    for (at, answer) in answers.iter().enumerate() {
        let user = ["ada", "bob"][at % 2];
        let value = text(answer.as_ref().unwrap());
        assert_eq!(value, format!("Bearer files-key-3 of {user} for files"));
    }
    assert_eq!(fake.resolved.load(Ordering::SeqCst), 2);
    assert!(handle.held(request(0)).is_some());
    // The shared value of the same credential is another one.
    assert!(value(&handle, 3).is_none());
}

#[tokio::test]
async fn a_credential_fetch_completes_after_its_caller_left() {
    let fake = FakeControlPlane::new(crate::fixture::snapshot(5, vec![]));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    let (server, wanted, principal) = (files(), credential(3), user("ada"));
    let request = CredentialRequest {
        server: &server,
        reference: &wanted,
        principal: &principal,
    };
    {
        let mut asked = std::pin::pin!(handle.resolve(request));
        // Asked once, and left before the answer can have come.
        assert!(futures_util::poll!(asked.as_mut()).is_pending());
    }
    until(|| fake.resolved.load(Ordering::SeqCst) == 1).await;
    // The resolution completes although its caller is gone, so no later caller joins a stalled one.
    until(|| {
        machine
            .drain
            .running()
            .iter()
            .all(|it| it.name != "credential")
    })
    .await;
    assert!(handle.resolve(request).await.is_ok());
}

#[tokio::test]
async fn a_cold_start_without_a_control_plane_serves_the_saved_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |link| options_in(&folder.path().join("proxy"), link);
    let fake = FakeControlPlane::new(small(5));
    let (before, trigger) = machine();
    let handle = start(
        in_folder(ControlPlaneTransport::Memory(fake.dialer())),
        &before,
    )
    .unwrap();
    before.readiness.ready().await;
    let token_hashes = vec![vec![9; 32]];
    fake.revoked.send_replace(pb::Revocations {
        sequence: 2,
        token_hashes,
        complete: true,
        version: None,
        fleet_share: None,
    });
    until(|| value(&handle, 3).is_some() && handle.is_revoked(&AuthnId([9; 32]))).await;
    until(|| folder.path().join("proxy/credentials.sealed").exists()).await;
    assert_eq!(trigger.drain(HANG_GUARD).await.to_string(), "drained");

    let (nobody, incoming) = memory::pair();
    drop(incoming);
    let (after, _trigger) = machine();
    let handle = start(in_folder(ControlPlaneTransport::Memory(nobody)), &after).unwrap();
    // Ready immediately, without waiting.
    assert!(after.readiness.is_ready());
    assert_eq!(handle.current().version(), version(5));
    assert_eq!(handle.current().counts(), [1, 1, 1]);
    assert_eq!(value(&handle, 3).unwrap(), "Bearer files-key-3");
    assert!(handle.is_revoked(&AuthnId([9; 32])));
    assert!(!handle.status().connected);
}

#[tokio::test]
async fn a_saved_configuration_whose_revocations_are_gone_is_served_by_no_start_until_a_control_plane_sends_one()
 {
    for damage in [None, Some(&b"damaged"[..])] {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("proxy");
        let fake = FakeControlPlane::new(small(5));
        let (before, trigger) = machine();
        let link = ControlPlaneTransport::Memory(fake.dialer());
        start(options_in(&data_dir, link), &before).unwrap();
        before.readiness.ready().await;
        assert_eq!(trigger.drain(HANG_GUARD).await.to_string(), "drained");
        let revoked = data_dir.join("revoked.sealed");
        assert!(data_dir.join("view.sealed").exists() && revoked.exists());
        match damage {
            None => std::fs::remove_file(&revoked).unwrap(),
            Some(bytes) => std::fs::write(&revoked, bytes).unwrap(),
        }

        for _start in 0..2 {
            let (nobody, incoming) = memory::pair();
            drop(incoming);
            let (alone, trigger) = machine();
            let link = ControlPlaneTransport::Memory(nobody);
            let handle = start(options_in(&data_dir, link), &alone).unwrap();
            assert!(!alone.readiness.is_ready());
            assert_eq!(handle.current().counts(), [0, 0, 0]);
            assert_eq!(trigger.drain(HANG_GUARD).await.to_string(), "drained");
        }
        let (after, _trigger) = machine();
        let link = ControlPlaneTransport::Memory(fake.dialer());
        let handle = start(options_in(&data_dir, link), &after).unwrap();
        after.readiness.ready().await;
        assert_eq!(handle.current().counts(), [1, 1, 1]);
    }
}

#[tokio::test]
async fn a_proxy_that_was_never_connected_goes_on_after_a_restart_with_its_first_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("proxy");
    let (nobody, incoming) = memory::pair();
    drop(incoming);
    let (before, trigger) = machine();
    let link = ControlPlaneTransport::Memory(nobody);
    start(options_in(&data_dir, link), &before).unwrap();
    assert!(data_dir.join("revoked.sealed").exists(), "ahead of a push");
    assert_eq!(trigger.drain(HANG_GUARD).await.to_string(), "drained");
    let fake = FakeControlPlane::new(small(5));
    let (after, _trigger) = machine();
    let link = ControlPlaneTransport::Memory(fake.dialer());
    let handle = start(options_in(&data_dir, link), &after).unwrap();
    after.readiness.ready().await;
    assert_eq!(handle.current().counts(), [1, 1, 1]);
}

#[tokio::test]
async fn a_damaged_saved_copy_does_not_prevent_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("proxy");
    EncryptedDirectory::open(&data_dir)
        .unwrap()
        .save(last_good::FILE, b"nonsense")
        .unwrap();
    std::fs::write(data_dir.join("keys.sealed"), b"nonsense").unwrap();
    std::fs::write(data_dir.join("credentials.sealed"), b"").unwrap();
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let link = ControlPlaneTransport::Memory(fake.dialer());
    let handle = start(options_in(&data_dir, link), &machine).unwrap();
    machine.readiness.ready().await;
    assert_eq!(handle.current().counts(), [1, 1, 1]);
}

#[tokio::test]
async fn a_proxy_keeps_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let unnamed = || {
        let (dialer, _incoming) = memory::pair();
        let link = ControlPlaneTransport::Memory(dialer);
        SyncOptions {
            proxy_id: None,
            ..options_in(folder.path(), link)
        }
    };
    let (machine, _trigger) = machine();
    let first = start(unnamed(), &machine).unwrap().proxy_id().clone();
    let second = start(unnamed(), &machine).unwrap().proxy_id().clone();
    assert_eq!(first, second);
    assert!(first.as_str().starts_with("proxy-"));
}
