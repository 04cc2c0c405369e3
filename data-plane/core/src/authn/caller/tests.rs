//! Tests of callers: what a caller may enter depends on its principal and grant, never on the kind of its proof.

use std::sync::Arc;

use toolgate_model::{AllowList, PrincipalSubject, Slug};

use super::*;
use crate::fixture::{GatewayFixture, NOW, slug};

const KINDS: [AuthnKind; 3] = [
    AuthnKind::ApiToken,
    AuthnKind::OAuth,
    AuthnKind::IdentityProvider,
];

fn caller(org: &str, gateways: AllowList<Slug>, kind: AuthnKind) -> Caller {
    let principal = Principal {
        org: slug(org),
        subject: PrincipalSubject::User(slug("ada")),
    };
    let authn = Authn {
        id: AuthnId([3; 32]),
        kind,
        expires: None,
    };
    let grant = Grant::new(&gateways, &AllowList::All);
    Caller::new(Arc::new(principal), Arc::new(grant), authn)
}

#[test]
fn every_kind_of_proof_enters_the_gateways_of_its_grant_in_its_organization() {
    let world = GatewayFixture::new();
    for kind in KINDS {
        let enters = |org, gateways| {
            let caller = caller(org, gateways, kind);
            caller.authorize_gateway(Some(world.gateway())).is_ok()
        };
        assert!(enters("acme", AllowList::All));
        assert!(enters("acme", AllowList::Only(vec![slug("main")])));
        assert!(!enters("acme", AllowList::Only(vec![slug("other")])));
        assert!(!enters("acme", AllowList::Only(Vec::new())));
        assert!(!enters("evil", AllowList::All));
    }
}

#[test]
fn a_proof_is_current_until_its_expiry() {
    let authn = |expires| Authn {
        id: AuthnId([0; 32]),
        kind: AuthnKind::OAuth,
        expires,
    };
    assert!(authn(None).is_current(NOW));
    assert!(!authn(Some(NOW)).is_current(NOW));
    assert!(authn(Some(Timestamp(NOW.0 + 1))).is_current(NOW));
}

#[test]
fn neither_the_whole_id_nor_the_grant_is_printed() {
    let shown = format!("{:?}", caller("acme", AllowList::All, AuthnKind::ApiToken));
    assert_eq!(
        shown,
        "Caller { principal: acme/user:ada, authn: Authn { id: AuthnId(03030303…), kind: ApiToken, expires: None }, .. }"
    );
}

/// Special times: milliseconds since 1970, as in RFC 3339, and the reason.
const SPECIAL_TIMES: &str = include_str!("../../../../../tests/fixtures/special-times.txt");

#[test]
fn se_15_a_proof_ends_at_its_expiry_at_special_times() {
    for line in SPECIAL_TIMES.lines() {
        let (millis, why) = line.split_once(' ').unwrap();
        let at: u64 = millis.parse().unwrap();
        let authn = Authn {
            id: AuthnId([0; 32]),
            kind: AuthnKind::ApiToken,
            expires: Some(Timestamp(at)),
        };
        for (now, expected) in [
            (at - 3_600_000, true),
            (at - 1, true),
            (at, false),
            (at + 1, false),
        ] {
            assert_eq!(authn.is_current(Timestamp(now)), expected, "{why}");
        }
    }
}

#[test]
fn a_caller_of_a_token_is_recorded_with_its_id() {
    let world = GatewayFixture::new();
    assert_eq!(world.caller("few").token(), Some(&slug("few")));
    // The id is unique in its organization only.
    assert_eq!(world.caller("evil").token(), Some(&slug("all")));
    let other = caller("acme", AllowList::All, AuthnKind::OAuth);
    assert_eq!(other.token(), None);
}
