//! Tests of the states of proxies.

use serde_json::json;

use super::*;

#[test]
fn a_proxy_with_a_later_version_than_the_store_is_ahead_and_not_behind() {
    let version = |epoch: u64, revision: u64| json!({ "epoch": epoch.to_string(), "revision": revision.to_string() });
    let state = |wanted: (u64, u64), acked: (u64, u64)| {
        let (wanted, acked) = (version(wanted.0, wanted.1), version(acked.0, acked.1));
        let proxy = json!({ "connected": true, "wanted": wanted, "acked": acked });
        ProxyState::of(&proxy)
    };
    assert_eq!(state((1, 9), (1, 10)), ProxyState::Ahead, "as numbers");
    assert_eq!(state((1, 900), (2, 5)), ProxyState::Ahead);
    assert_eq!(state((1, 10), (1, 9)), ProxyState::Behind);
    assert_eq!(state((2, 5), (1, 900)), ProxyState::Behind);
    assert_eq!(state((1, 9), (1, 9)), ProxyState::InSync);
    assert_eq!(ProxyState::Ahead.to_string(), "ahead");
}

#[test]
fn a_proxy_without_a_connection_is_away_whatever_its_version_is() {
    let version = json!({ "epoch": "1", "revision": "9" });
    let away = json!({ "wanted": version, "acked": version });
    assert_eq!(ProxyState::of(&away), ProxyState::Away);
    let refusing = json!({
        "connected": true, "wanted": version, "acked": version, "refusals": [{}],
    });
    assert_eq!(ProxyState::of(&refusing), ProxyState::Refusing);
    let new = json!({ "connected": true, "wanted": version });
    assert_eq!(ProxyState::of(&new), ProxyState::Behind);
}
