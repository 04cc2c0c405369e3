//! A resolution that was cut off does not stand in the way of the next one, and an outage delays few calls.

use std::time::Duration;

use tokio::{runtime, time::timeout};
use toolgate_model::CredentialHosts;
use toolgate_proto::credential::v1::ResolveResponse;
use toolgate_runtime::{Metrics, Readiness, clock, drain};

use super::*;
use crate::{
    control_channels,
    fixture::{server, snapshot},
    memory_search::{copies_in_memory, masked_key, unmasked},
};

fn key() -> PendingKey {
    let org = "acme".parse().unwrap();
    PendingKey {
        server: ObjectName::new(org, "files".parse().unwrap()),
        credential: CredentialRef {
            id: "files-key".parse().unwrap(),
            revision: 1,
            scope: CredentialScope::Shared,
        },
        principal: None,
    }
}

/// Cache without a connection to a control plane, so that nothing answers, and what keeps its tasks running.
fn cache() -> (CredentialCache, impl Sized) {
    let (drain, trigger) = drain::new();
    let context = ProxyContext {
        clock: clock::system(),
        metrics: Metrics::new(),
        readiness: Readiness::new(),
        drain,
    };
    let (setter, channels) = control_channels::unset();
    let (version, versions) = watch::channel(Version::default());
    let cache = CredentialCache::new(channels, &context, None, &View::empty(), versions);
    (cache, (trigger, setter, version))
}

/// Holds revision 1 of the credential.
fn hold(cache: &CredentialCache) -> Arc<UpstreamCredential> {
    let key = key();
    let value = UpstreamCredential::of_fields(Vec::new(), CredentialHosts::default());
    let value = Arc::new(value);
    let cached = CachedCredential {
        credential: key.credential.id,
        revision: 1,
        expires: None,
        value: Arc::clone(&value),
    };
    let now = cache.inner.clock.now();
    cache.inner.table.insert(&key.server, None, cached, now);
    value
}

#[tokio::test(start_paused = true)]
async fn calls_with_an_earlier_revision_wait_once_in_ten_seconds_for_a_control_plane_that_is_gone()
{
    let (cache, _kept) = cache();
    let value = hold(&cache);
    let mut key = key();
    key.credential.revision = 2;
    let principal = Principal {
        org: key.server.org.clone(),
        subject: PrincipalSubject::AllCallers,
    };
    let request = CredentialRequest {
        server: &key.server,
        reference: &key.credential,
        principal: &principal,
    };
    let mut waits = Vec::new();
    for _call in 0..25 {
        let started = tokio::time::Instant::now();
        let presented = cache.resolve(request).await.unwrap();
        assert!(Arc::ptr_eq(&presented, &value));
        waits.push(started.elapsed().as_secs());
        sleep(Duration::from_secs(1)).await;
    }
    let waited: Vec<_> = waits.iter().filter(|wait| **wait > 0).collect();
    assert_eq!(waited, [&2, &2, &2], "{waits:?}");
    // A later revision is asked for at once.
    key.credential.revision = 3;
    assert!(cache.inner.after_failed_attempt(&key).is_none());
}

#[test]
fn an_answer_that_is_older_than_requested_leaves_the_earlier_revision_in_use() {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let (cache, _kept) = cache();
    let mut key = key();
    key.credential.revision = 2;
    let older = || {
        Ok(ResolvedCredential {
            fields: Vec::new(),
            revision: 1,
            expires: None,
            hosts: CredentialHosts::default(),
        })
    };
    let conclude = |answer, earlier| cache.inner.conclude(&key, answer, earlier);
    assert!(conclude(older(), None).is_err());
    assert!(!cache.inner.failed_attempts.is_recent(&key));
    let value = hold(&cache);
    let presented = conclude(older(), Some(Arc::clone(&value))).unwrap();
    assert!(Arc::ptr_eq(&presented, &value));
    assert!(cache.inner.failed_attempts.is_recent(&key));
    // A control plane that refuses the credential ends the use of the earlier revision.
    assert!(conclude(Err(ResolveFailure::Refused), Some(value)).is_err());
    assert!(!cache.inner.failed_attempts.is_recent(&key));
}

#[test]
fn a_resolution_that_was_aborted_is_started_again_by_the_next_request() {
    let (cache, _kept) = cache();
    let waits = |cache: &CredentialCache| {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let short = Duration::from_millis(50);
        let waited = runtime.block_on(async { timeout(short, cache.resolve_once(key())).await });
        assert_eq!(cache.inner.pending().len(), 1, "it is being resolved");
        // Aborts the task of the resolution.
        drop(runtime);
        waited.is_err()
    };
    assert!(waits(&cache));
    assert!(cache.inner.pending().is_empty(), "nothing is left of it");
    assert!(waits(&cache), "it is resolved again");
}

#[tokio::test]
async fn ti_12_credentials_of_a_deleted_organization_are_forgotten_in_memory_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(EncryptedDirectory::open(folder.path()).unwrap());
    let (cache, _kept) = cache();
    let held = Arc::downgrade(&hold(&cache));
    let table = &cache.inner.table;
    let (server_name, _, shared) = table.entries().remove(0);
    let principal = Principal {
        org: server_name.org.clone(),
        subject: PrincipalSubject::User("ada".parse().unwrap()),
    };
    table.insert(
        &server_name,
        Some(principal),
        shared,
        cache.inner.clock.now(),
    );
    let servers = vec![server("files", "http://files.test/mcp", Some(1))];
    let (view, _refusals) = View::build(&snapshot(1, servers), None);
    let stored = cache.persist(&disk, 0).await;
    assert_eq!(stored::load(&disk, &view).len(), 2);

    assert_eq!(cache.refresh(&View::empty()).await, 0);
    assert!(table.entries().is_empty());
    assert!(held.upgrade().is_none(), "no copy is held");
    let stored = cache.persist(&disk, stored).await;
    assert_eq!(stored::load(&disk, &view).len(), 0);

    // A resolution that ends after the deletion is noticed, and its value is dropped before it is written.
    let resolved = ResolvedCredential {
        fields: Vec::new(),
        revision: 1,
        expires: None,
        hosts: CredentialHosts::default(),
    };
    let late = cache.inner.conclude(&key(), Ok(resolved), None);
    let late = Arc::downgrade(&late.unwrap());
    let noticed = cache.inner.changed.notified();
    timeout(Duration::from_secs(60), noticed).await.unwrap();
    assert_eq!(cache.refresh(&View::empty()).await, 0);
    assert!(late.upgrade().is_none());
    cache.persist(&disk, stored).await;
    assert_eq!(stored::load(&disk, &view).len(), 0);
}

/// Text of a value in the stored form, of which the search finds the first bytes.
fn in_json(value: &[u8]) -> [u8; 32] {
    let text = crate::secret::to_json(&value).unwrap();
    let first = text.first_chunk::<32>().unwrap();
    first.map(|byte| byte ^ crate::memory_search::MASK)
}

/// The value is overwritten where it was received, cached, encoded for the disk and read back.
#[tokio::test]
async fn se_14_a_credential_that_is_no_longer_referred_to_leaves_no_copy_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(EncryptedDirectory::open(folder.path()).unwrap());
    let (cache, _kept) = cache();
    // A value has visible characters only.
    let value = masked_key(201).map(|byte| (b'!' + (byte % 90)) ^ crate::memory_search::MASK);
    let patterns = {
        let plain = Zeroizing::new(unmasked(&value));
        [value, in_json(&plain)]
    };
    let copies = || copies_in_memory(&patterns).unwrap();
    let answer = ResolveResponse {
        header: "x-key".to_owned(),
        value: unmasked(&value),
        revision: 1,
        expire_time_ms: 0,
        hosts: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
    };
    assert!(copies()[0] > 0, "the search finds the value");
    let resolved = ResolvedCredential::from_proto(&answer).unwrap();
    drop(answer);
    drop(cache.inner.conclude(&key(), Ok(resolved), None).unwrap());
    assert_eq!(copies()[0], 1, "the cache holds it");
    let stored = cache.persist(&disk, 0).await;
    let servers = vec![server("files", "http://files.test/mcp", Some(1))];
    let (view, _refusals) = View::build(&snapshot(1, servers), None);
    let loaded = stored::load(&disk, &view);
    assert_eq!(loaded.len(), 1);
    drop(loaded);
    cache.refresh(&View::empty()).await;
    cache.persist(&disk, stored).await;
    assert_eq!(copies(), [0, 0]);
}
