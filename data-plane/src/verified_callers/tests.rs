//! Tests of the cache of verdicts: a signature is verified once, and a verdict ends with its token.

use std::sync::atomic::{AtomicUsize, Ordering};

use toolgate_data_core::{TokenFault, View};
use toolgate_model::{
    ClaimPath, EllipticCurve, KeyMaterial, ObjectName, ResourceKey, SignatureAlgorithm, Snapshot,
    SnapshotResource, SnapshotResourceKind, TrustedIssuer, Uid, VerificationKey,
    snapshot::{GatewayResource, SnapshotEntry},
};

use super::*;

/// Verifier to which each signature is valid; counts its calls.
#[derive(Default)]
struct CountingVerifier(AtomicUsize);

impl SignatureVerifier for CountingVerifier {
    fn is_valid(&self, _: &VerificationKey, _: SignatureAlgorithm, _: &str, _: &str) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// Token of `ada` that expires in the second 1,600.
const TOKEN: &str = concat!(
    // {"alg":"ES256"}
    "eyJhbGciOiJFUzI1NiJ9.",
    // {"iss":"https://login.example.com","aud":"toolgate","sub":"ada","exp":1600}
    "eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwiYXVkIjoidG9vbGdhdGUiLCJzdWIiOiJhZGEiLCJleHAiOjE2MDB9.",
    "c2lnbmF0dXJl"
);

/// View with the gateway `main`, which admits callers of one provider.
fn view() -> View {
    let key = VerificationKey {
        id: "a".to_owned(),
        algorithm: Some(SignatureAlgorithm::ES256),
        material: KeyMaterial::Ec {
            curve: EllipticCurve::P256,
            x: "x".to_owned(),
            y: "y".to_owned(),
        },
    };
    let issuer = TrustedIssuer {
        provider: "corp".parse().unwrap(),
        uid: Uid::of(&"corp"),
        issuer: "https://login.example.com".to_owned(),
        audiences: vec!["toolgate".to_owned()],
        algorithms: vec![SignatureAlgorithm::ES256],
        keys: vec![key],
        subject: ClaimPath::new("sub").unwrap(),
        required: Vec::new(),
    };
    let gateway = GatewayResource {
        identity_providers: vec![issuer],
        ..GatewayResource::default()
    };
    let key = ResourceKey {
        kind: SnapshotResourceKind::Gateway,
        name: ObjectName {
            org: "acme".parse().unwrap(),
            id: "main".parse().unwrap(),
        },
    };
    let mut snapshot = Snapshot::default();
    let entry = SnapshotEntry::new(SnapshotResource::Gateway(gateway));
    snapshot.entries.insert(key, entry);
    View::build(&snapshot, None).0
}

#[test]
fn oa_07_a_token_that_was_accepted_is_refused_when_it_has_expired() {
    let (view, verifier) = (view(), CountingVerifier::default());
    let callers = VerifiedCallers::new();
    let gateway = view.gateway("main").map(|gateway| &**gateway);
    let answer = |now: u64| {
        let hash = TokenHash([7; 32]);
        let caller = callers.authenticate(gateway, TOKEN, &hash, &verifier, Timestamp(now));
        let name = caller.map(|caller| caller.principal().to_string());
        (name, verifier.0.load(Ordering::Relaxed))
    };
    let accepted = || Ok("acme/idp:corp:ada".to_owned());
    assert_eq!(answer(1_000_000), (accepted(), 1));
    // From the cache, up to the tolerated difference of clocks.
    assert_eq!(answer(1_629_999), (accepted(), 1));
    let expired = Err(Refusal::InvalidToken(TokenFault::Expired));
    assert_eq!(answer(1_630_000), (expired.clone(), 2));
    assert_eq!(answer(9_000_000_000), (expired, 3));
}
