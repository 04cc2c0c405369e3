//! Tests of the hashes that a stream sends.

use toolgate_control_core::{Command, OperatorObject};
use toolgate_model::ObjectName;

use super::*;
use crate::memory::MemoryControlApi;

fn name(id: &str) -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

/// After the first message only tokens are looked at that were written or have expired since.
#[test]
fn each_hash_is_found_when_its_token_ends() {
    let control_api = MemoryControlApi::new();
    let now = control_api.now();
    let later = now.after(EXPIRY_CHECK_INTERVAL / 2);
    let role = toolgate_model::AdminRole::None;
    control_api.token_until("acme", "short", role, false, Some(later));
    control_api.token("acme", "long", role, false);
    let mut tracker = RevocationTracker::default();
    let state = || std::sync::Arc::clone(&control_api.published().state);
    assert_eq!(tracker.update(&state(), now), []);
    let gateway = toolgate_model::Gateway {
        identity_providers: Vec::new(),
        name: name("tools"),
        meta: toolgate_model::ObjectMeta::default(),
        prefix: toolgate_model::PrefixMode::Always,
        listing: Default::default(),
        bindings: Vec::new(),
        instructions: String::new(),
        rate_limits: Vec::new(),
    };
    let create = Command::Create(OperatorObject::Gateway(gateway));
    control_api.command(create).unwrap();
    assert_eq!(tracker.update(&state(), now), []);
    assert_eq!(tracker.version, state().version());
    assert_eq!(tracker.update(&state(), later).len(), 1, "expired");

    control_api
        .command(Command::RevokeToken(name("long")))
        .unwrap();
    assert_eq!(tracker.update(&state(), later).len(), 1, "revoked");
    let key = toolgate_control_core::ObjectKey::Token(name("long"));
    let delete = Command::Delete {
        key,
        expected: None,
    };
    control_api.command(delete).unwrap();
    assert_eq!(tracker.update(&state(), later), [], "each is sent once");
}

#[test]
fn an_expired_token_is_found_without_a_write() {
    let control_api = MemoryControlApi::new();
    let now = control_api.now();
    let soon = Some(now.after(EXPIRY_CHECK_INTERVAL / 2));
    let role = toolgate_model::AdminRole::None;
    control_api.token_until("acme", "short", role, false, soon);
    let mut tracker = RevocationTracker::default();
    let state = std::sync::Arc::clone(&control_api.published().state);
    assert_eq!(tracker.update(&state, now), []);
    let due = now.after(EXPIRY_CHECK_INTERVAL);
    assert_eq!(tracker.update(&state, due).len(), 1);
    assert_eq!(tracker.update(&state, due), [], "each is sent once");
}
