//! Upstreams follow the configuration.

use std::{sync::Barrier, thread, time::Instant};

use toolgate_data_core::port::{HeaderCredential, UpstreamCredential};
use toolgate_model::{CredentialHosts, PrincipalSubject, Timestamp};
use toolgate_runtime::Clock;

use super::*;
use crate::{
    circuit_breaker::FAILURES,
    fixture::{registry, registry_of, registry_with, server},
};

fn ada() -> Principal {
    Principal {
        org: "acme".parse().unwrap(),
        subject: PrincipalSubject::User("ada".parse().unwrap()),
    }
}

/// A registry, and the servers of its current view.
fn following(
    servers: &[&Arc<ServerView>],
) -> (Arc<UpstreamRegistry>, impl Fn(&[&Arc<ServerView>]) + use<>) {
    let names = |servers: &[&Arc<ServerView>]| {
        let digests = servers.iter().map(|it| (it.name.clone(), it.digest));
        digests.collect::<BTreeMap<_, _>>()
    };
    let view = Arc::new(Mutex::new(names(servers)));
    let current = Arc::clone(&view);
    let registry = registry_of(move |server| {
        current.lock().unwrap().get(&server.name) == Some(&server.digest)
    });
    let changed = Arc::clone(&registry);
    let change = move |servers: &[&Arc<ServerView>]| {
        *view.lock().unwrap() = names(servers);
        changed.retain_current();
    };
    (registry, change)
}

#[test]
fn a_changed_configuration_gets_a_new_upstream_and_removed_servers_are_dropped() {
    let (first, changed, other) = (server("one", 0), server("one", 1), server("two", 0));
    let (registry, change) = following(&[&first]);
    let of = |server: &Arc<ServerView>| registry.upstream(server).unwrap();
    let upstream = of(&first);
    assert!(Arc::ptr_eq(&upstream, &of(&first)));
    change(&[&changed, &other]);
    assert!(!Arc::ptr_eq(&upstream, &of(&changed)));
    of(&other);
    change(&[&other]);
    assert_eq!(registry.upstreams.load().len(), 1);
    change(&[]);
    assert_eq!(registry.upstreams.load().len(), 0);
}

#[test]
fn a_session_of_an_older_configuration_neither_replaces_the_upstream_nor_loses_its_own() {
    let (old, new) = (server("one", 0), server("one", 1));
    let (registry, change) = following(&[&old]);
    let of = |server: &Arc<ServerView>| registry.upstream(server).unwrap();
    let own = of(&old);
    change(&[&new]);
    let current = of(&new);
    for _ in 0..FAILURES {
        let mut permit = current.permit().unwrap();
        permit.record_failure(UpstreamFailure::Timeout);
    }
    // The session of the old configuration ends.
    assert!(Arc::ptr_eq(&own, &of(&old)), "its own pool and limits");
    assert!(Arc::ptr_eq(&current, &of(&new)), "the same pool and limits");
    assert_eq!(registry.open_circuits(), 1, "and the same circuit");
    drop(own);
    let again = of(&old);
    assert!(Arc::ptr_eq(&again, &of(&old)), "shared while it is held");
    assert!(Arc::ptr_eq(&current, &of(&new)));
    // The configuration that returns is current again, with what is held of it.
    change(&[&old]);
    assert!(Arc::ptr_eq(&again, &of(&old)));
    assert_eq!(registry.open_circuits(), 0);
}

#[test]
fn a_session_with_a_removed_server_does_not_add_it_again() {
    let removed = server("one", 0);
    let (registry, change) = following(&[&removed]);
    registry.upstream(&removed).unwrap();
    change(&[]);
    let ending = registry.upstream(&removed).unwrap();
    assert!(ending.permit().is_ok(), "the session can end at the server");
    assert_eq!(registry.upstreams.load().len(), 0);
    drop(ending);
    registry.upstream(&removed).unwrap();
    assert!(registry.outdated().len() <= 1, "nothing is kept of it");
}

#[test]
fn concurrent_first_requests_share_one_upstream() {
    let registry = registry(None);
    let server = server("one", 0);
    let start = Barrier::new(8);
    let upstreams: Vec<_> = thread::scope(|scope| {
        let request = || {
            start.wait();
            registry.upstream(&server).unwrap()
        };
        let requests: Vec<_> = (0..8).map(|_| scope.spawn(request)).collect();
        requests.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(upstreams.iter().all(|it| Arc::ptr_eq(it, &upstreams[0])));
}

/// Clock that changes the configuration when it is read next.
struct ReconfiguringClock(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Clock for ReconfiguringClock {
    fn now(&self) -> Timestamp {
        let reconfigure = self.0.lock().unwrap().take();
        if let Some(reconfigure) = reconfigure {
            reconfigure();
        }
        Timestamp(1_000)
    }

    fn monotonic(&self) -> Instant {
        toolgate_runtime::clock::system().monotonic()
    }
}

#[test]
fn a_call_that_ends_while_its_server_is_reconfigured_does_not_show_the_server_as_failing() {
    let (old, new) = (server("one", 0), server("one", 1));
    let current = Arc::new(Mutex::new(old.digest));
    let clock = Arc::new(ReconfiguringClock(Mutex::default()));
    let view = Arc::clone(&current);
    let registry = registry_with(Arc::clone(&clock) as SharedClock, move |server| {
        *view.lock().unwrap() == server.digest
    });
    let upstream = registry.upstream(&old).unwrap();
    let (reconfigured, digest) = (Arc::clone(&registry), new.digest);
    let reconfigure = move || {
        *current.lock().unwrap() = digest;
        reconfigured.retain_current();
    };
    for _ in 1..FAILURES {
        let mut permit = upstream.permit().unwrap();
        permit.record_failure(UpstreamFailure::Broken);
    }
    let mut last = upstream.permit().unwrap();
    // Between the end of the call and the record of its report.
    *clock.0.lock().unwrap() = Some(Box::new(reconfigure));
    last.record_failure(UpstreamFailure::Broken);
    assert!(upstream.is_circuit_open());
    assert!(clock.0.lock().unwrap().is_none(), "reconfigured meanwhile");
    assert_eq!(registry.health().servers(Timestamp(1_000)), []);
    registry.upstream(&new).unwrap();
    assert_eq!(registry.health().servers(Timestamp(1_000)), []);
}

#[test]
fn open_circuits_are_counted_by_server() {
    let registry = registry(None);
    for id in ["one", "two"] {
        let upstream = registry.upstream(&server(id, 0)).unwrap();
        assert!(upstream.permit().is_ok());
    }
    assert_eq!(registry.open_circuits(), 0);
    let sick = registry.upstream(&server("two", 0)).unwrap();
    for _ in 0..FAILURES {
        sick.permit()
            .unwrap()
            .record_failure(UpstreamFailure::Timeout);
    }
    assert_eq!(registry.open_circuits(), 1);
}

#[test]
fn a_server_whose_address_is_none_cannot_be_called() {
    let registry = registry(None);
    let mut server = ServerView::clone(&server("one", 0));
    server.endpoints = "file:///srv/mcp".parse().unwrap();
    let refused = registry.upstream(&Arc::new(server));
    assert_eq!(refused.err(), Some(UpstreamFailure::Unreachable));
}

#[test]
fn answers_of_one_holder_leave_room_for_others() {
    let registry = registry(None);
    let (ada, bob) = (BudgetOwner::of(&"ada"), BudgetOwner::of(&"bob"));
    assert_eq!(registry.check_room(ada), Ok(()));
    let mut held = registry.answers.open(Some(ada));
    // More than a share, and less than all.
    held.add(512 * 1024).unwrap();
    let full = Err(UpstreamFailure::TooManyOpen("answers"));
    assert_eq!(registry.check_room(ada), full);
    assert_eq!(registry.check_room(bob), Ok(()));
    let mut rest = registry.answers.open(Some(bob));
    while rest.add(16 * 1024).is_ok() {}
    drop(held);
    assert_eq!(registry.check_room(ada), Ok(()));
}

#[tokio::test]
async fn a_credential_is_presented_again_until_it_changes() {
    let registry = registry(None);
    let upstream = registry.upstream(&server("one", 0)).unwrap();
    let bare = registry
        .authenticated_endpoint(&upstream, &ada())
        .await
        .unwrap();
    assert!(bare.endpoint.credential.is_none());
    let credential = |value: &str| {
        Arc::new(UpstreamCredential::Header(HeaderCredential {
            name: "x-key".into(),
            value: value.as_bytes().to_vec().into(),
            hosts: CredentialHosts::default(),
        }))
    };
    let first = credential("a");
    let target = upstream.target.only_endpoint().unwrap();
    let with = |credential| target.with_shared(credential).unwrap();
    let presented = with(Arc::clone(&first));
    assert!(Arc::ptr_eq(&presented, &with(first)), "the same one");
    let changed = with(credential("b"));
    let (name, value) = &changed.endpoint.credential.as_ref().unwrap().headers()[0];
    assert_eq!((name.as_str(), value.as_bytes()), ("x-key", &b"b"[..]));
    assert!(value.is_sensitive());
    let bad = target.with_shared(credential("a\nb"));
    assert_eq!(bad.err(), Some(UpstreamFailure::Credential));
    // A credential of one principal does not replace that of all.
    let personal = target.with(credential("c")).unwrap();
    assert!(personal.endpoint.credential.is_some());
    let kept = target.authenticated().unwrap();
    assert!(Arc::ptr_eq(&kept, &changed));
}

#[tokio::test]
async fn a_credential_is_not_presented_to_an_endpoint_outside_its_hosts() {
    let registry = registry(None);
    let server = server("one", 0);
    let upstream = registry.upstream(&server).unwrap();
    let target = upstream.target.only_endpoint().unwrap();
    let bound = |hosts: &[String]| {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Arc::new(UpstreamCredential::Header(HeaderCredential {
            name: "x-key".into(),
            value: b"secret".to_vec().into(),
            hosts: CredentialHosts::new(hosts),
        }))
    };
    let own = server.endpoints.first().url.origin().ascii_serialization();
    let elsewhere = "https://api.example.com".to_owned();
    let outside = bound(std::slice::from_ref(&elsewhere));
    for refused in [
        target.with(Arc::clone(&outside)),
        target.with_shared(outside),
    ] {
        assert_eq!(refused.err(), Some(UpstreamFailure::Credential));
    }
    let presented = target.with_shared(bound(&[elsewhere, own])).unwrap();
    assert!(presented.endpoint.credential.is_some());
}
