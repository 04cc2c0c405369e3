//! Opened ids stay valid for a while only, on any connection.

use std::time::Duration;

use toolgate_data_core::{OwningProxy, client_state::StateKey};
use toolgate_mcp::versions;
use toolgate_model::PrincipalSubject;

use super::*;

const OPENED: Timestamp = Timestamp(1_000_000);

fn cipher(number: u8) -> ClientStateCipher {
    let key = StateKey {
        epoch: number.into(),
        secret: vec![number; 32].into(),
    };
    ClientStateCipher::new(&[key]).unwrap()
}

#[test]
fn an_id_whose_key_was_removed_is_refused_after_the_lifetime_of_the_cache_on_every_connection() {
    let (gateway, principal) = (
        "main".parse().unwrap(),
        Arc::new(Principal {
            org: "acme".parse().unwrap(),
            subject: PrincipalSubject::AllCallers,
        }),
    );
    let claims = SessionClaims {
        version: versions::LEGACY[0],
        capabilities: Default::default(),
        issued: OPENED,
        random: [7; 16],
        owner: OwningProxy::new("p".parse().unwrap(), None),
        opener: Default::default(),
    };
    let context = StateContext {
        gateway: &gateway,
        principal: &principal,
    };
    let text = session_id::mint(&cipher(1), context, &claims, &[3; 24]);
    let cache = SessionIdCache::new();
    let (first, second) = (CacheSlot::default(), CacheSlot::default());
    let known = |number: u8, after: Duration, slot: &CacheSlot| {
        let at = (&cipher(number), OPENED.after(after));
        let claims = cache.claims(&text, at, &gateway, &principal, slot);
        claims.is_some()
    };
    assert!(known(1, Duration::ZERO, &first));
    let soon = Duration::from_secs(1);
    assert!(known(2, soon, &first), "opened ids are cached");
    assert!(known(2, soon, &second), "for all connections");
    assert!(second.get::<CachedSessionId>().is_some(), "and kept there");
    for slot in [&first, &second] {
        assert!(!known(2, CACHE_TTL, slot));
    }
    assert!(known(1, CACHE_TTL, &first), "the key opens it again");
}
