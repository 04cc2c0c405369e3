//! Tests of the health of servers as proxies see it.

use std::time::Duration;

use toolgate_control_core::{ControlObject, ObjectKey, push::STALE_AFTER, state::ObjectEvent};
use toolgate_model::{HealthState, ProxyStatus, Version};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn server(id: &str) -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

fn health(id: &str, state: HealthState, since: Timestamp) -> ServerHealth {
    ServerHealth {
        server: server(id),
        state,
        failing_since: since,
        recovered: (state == HealthState::Available).then_some(since),
        failure: "upstream_unreachable".to_owned(),
        detail: "no connection to it could be made".to_owned(),
        outages: 1,
        endpoints: Vec::new(),
    }
}

fn state(proxies: Vec<(&str, Timestamp, Vec<ServerHealth>)>) -> StoreState {
    let put = |(id, last_seen, servers): (&str, Timestamp, Vec<ServerHealth>)| {
        let status = ProxyStatus {
            id: id.parse().unwrap(),
            region: String::new(),
            build: String::new(),
            listen: String::new(),
            started: NOW,
            last_seen,
            connected: true,
            stream_started: NOW,
            held: Version::default(),
            acked: Version::default(),
            rejections: Vec::new(),
            clock: None,
            servers,
        };
        ObjectEvent::Put {
            key: ObjectKey::Proxy(status.id.clone()).to_string(),
            modified: 1,
            object: Ok(ControlObject::Proxy(std::sync::Arc::new(status))),
        }
    };
    let mut state = StoreState::default();
    state.apply(proxies.into_iter().map(put), 1);
    state
}

#[test]
fn a_server_fails_everywhere_only_if_it_fails_for_each_connected_proxy() {
    let failing = || vec![health("git", HealthState::Unavailable, NOW)];
    let both = state(vec![("p1", NOW, failing()), ("p2", NOW, failing())]);
    let told = failure_everywhere(&server("git"), &both, NOW).unwrap();
    assert!(
        told.contains("server git") && told.contains("no connection"),
        "{told}"
    );
    assert_eq!(failure_everywhere(&server("wiki"), &both, NOW), None);
    let one = state(vec![("p1", NOW, failing()), ("p2", NOW, Vec::new())]);
    assert_eq!(failure_everywhere(&server("git"), &one, NOW), None);
    assert_eq!(of_server(&server("git"), &one, NOW).len(), 1);
    let recovered = vec![health("git", HealthState::Available, NOW)];
    let recovered = state(vec![("p1", NOW, failing()), ("p2", NOW, recovered)]);
    assert_eq!(failure_everywhere(&server("git"), &recovered, NOW), None);
    assert_eq!(of_server(&server("git"), &recovered, NOW).len(), 2);
}

#[test]
fn what_proxies_saw_that_are_away_does_not_count() {
    let failing = vec![health("git", HealthState::Unauthorized, NOW)];
    let lost = Timestamp(NOW.0 - 120_000);
    let state = state(vec![("p1", lost, failing), ("p2", NOW, Vec::new())]);
    assert_eq!(of_server(&server("git"), &state, NOW), []);
    let later = NOW.after(STALE_AFTER + Duration::from_secs(1));
    assert_eq!(failure_everywhere(&server("git"), &state, later), None);
}
